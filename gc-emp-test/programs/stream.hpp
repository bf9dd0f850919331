#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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

/// TLS 1.3 under a key that both sides hold (RFC 8446, section 2.2: external PSK with an ephemeral
/// Diffie-Hellman exchange, so that the key opens no recording). Returns after the handshake; a
/// peer without the key is a ProtocolError.
[[nodiscard]] std::unique_ptr<Stream> tls_stream(Descriptor socket, int owner, Side side,
                                                 const LinkKey& key, const Deadline& deadline);

}  // namespace capc::gc::programs
