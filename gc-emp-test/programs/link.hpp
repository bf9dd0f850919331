#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "descriptor.hpp"
#include "secret.hpp"
#include "stream.hpp"

namespace capc::gc::programs {

/// Bytes on this side of a link, headers of messages included and encryption not. A round is a
/// turn from sending to receiving: how often this side waits for the peer.
struct Traffic {
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t rounds = 0;
};

/// Buffered bytes to and from the peer. Every message of the circuit protocol has a length that
/// both sides know, so nothing here is as long as a peer says.
///
/// What is written leaves when 64 KiB are together, when something is read, or with flush(). Every
/// call has to be over within the time limit, else it throws ProtocolError.
class Link {
 public:
  Link(std::unique_ptr<Stream> stream, Seconds limit);

  void write(std::span<const std::uint8_t> bytes);
  void flush();
  /// Exactly `out.size()` bytes.
  void read(std::span<std::uint8_t> out);

  [[nodiscard]] const Traffic& traffic() const { return traffic_; }

 private:
  void send_now(std::span<const std::uint8_t> bytes, const Deadline& deadline);

  std::unique_ptr<Stream> stream_;
  Seconds limit_;
  Traffic traffic_;
  SecretArray<std::uint8_t> outbox_;
  std::size_t outbox_used_ = 0;
  SecretArray<std::uint8_t> inbox_;
  std::size_t inbox_at_ = 0;
  std::size_t inbox_used_ = 0;
  bool sent_last_ = false;
};

}  // namespace capc::gc::programs
