#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "descriptor.hpp"
#include "secret.hpp"

namespace capc::gc::programs {

/// A connection to the peer. A peer that is gone, or silent until the deadline, is a ProtocolError.
class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  /// At least one byte; returns how many.
  [[nodiscard]] virtual std::size_t read_some(std::span<std::uint8_t> out,
                                              const Deadline& deadline) = 0;
  /// At least one byte; returns how many.
  [[nodiscard]] virtual std::size_t write_some(std::span<const std::uint8_t> bytes,
                                               const Deadline& deadline) = 0;
};

constexpr std::size_t kKeyBytes = 32;
using LinkKey = Secret<std::uint8_t[kKeyBytes]>;

enum class Side : std::uint8_t { Server, Client };

/// The socket as it is: whoever listens on the machine's loopback reads along.
[[nodiscard]] std::unique_ptr<Stream> plain_stream(Descriptor socket, int owner);

/// The listening side of a TLS handshake as below, for many at a time: it never waits.
class Handshake {
 public:
  Handshake() = default;
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;
  virtual ~Handshake() = default;

  /// Go on as far as the peer's bytes reach. What it then waits for, or nothing where it is over.
  /// ProtocolError for a peer without the key.
  [[nodiscard]] virtual std::optional<Want> step(const LinkKey& key) = 0;
  /// The socket, to wait for.
  [[nodiscard]] virtual int socket() const = 0;
};

[[nodiscard]] std::unique_ptr<Handshake> start_handshake(Descriptor socket, int owner);

/// The connection, once step() has found its handshake to be over.
[[nodiscard]] std::unique_ptr<Stream> finish_handshake(std::unique_ptr<Handshake> handshake);

/// TLS 1.3 under a key that both sides hold (RFC 8446, section 2.2: external PSK with an ephemeral
/// Diffie-Hellman exchange, so that the key opens no recording). Returns after the handshake; a
/// peer without the key is a ProtocolError.
[[nodiscard]] std::unique_ptr<Stream> tls_stream(Descriptor socket, int owner, Side side,
                                                 const LinkKey& key, const Deadline& deadline);

}  // namespace capc::gc::programs
