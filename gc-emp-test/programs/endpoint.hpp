#pragma once

#include <cstdint>
#include <string>

#include "descriptor.hpp"
#include "stream.hpp"

namespace capc::gc::programs {

/// A TCP socket that listens on 127.0.0.1.
class Listener {
 public:
  /// Port 0 takes any free one. SystemError where the port is in use.
  explicit Listener(std::uint16_t port);

  [[nodiscard]] std::uint16_t port() const { return port_; }

  /// The first connection before the deadline, else ProtocolError.
  [[nodiscard]] Descriptor accept(const Deadline& deadline, int owner) const;

  /// The first connection whose other end holds the key. All handshakes go on side by side, so
  /// that a silent stranger delays nobody. Others are dropped, and counted in one line on standard
  /// error at the end.
  [[nodiscard]] std::unique_ptr<Stream> accept_with_key(const LinkKey& key,
                                                        const Deadline& deadline, int owner) const;

 private:
  Descriptor socket_;
  std::uint16_t port_ = 0;
};

enum class Absent : std::uint8_t { Fail, Retry };

/// A connection to an IPv4 address. Where nobody listens: an error at once, or tries until the
/// deadline, for programs that a user starts in either order.
[[nodiscard]] Descriptor connect_to(const std::string& host, std::uint16_t port, Absent absent,
                                    const Deadline& deadline, int owner);

}  // namespace capc::gc::programs
