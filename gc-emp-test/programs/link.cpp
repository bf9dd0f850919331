#include "link.hpp"

#include <algorithm>
#include <cstring>

namespace capc::gc::programs {
namespace {

constexpr std::size_t kBufferBytes = 65536;

}  // namespace

Link::Link(std::unique_ptr<Stream> stream, Seconds limit)
    : stream_(std::move(stream)), limit_(limit), outbox_(kBufferBytes), inbox_(kBufferBytes) {}

void Link::write(std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return;
  traffic_.bytes_sent += bytes.size();
  sent_last_ = true;
  if (bytes.size() > kBufferBytes - outbox_used_) flush();
  if (bytes.size() >= kBufferBytes) {
    send_now(bytes, Deadline(limit_));
    return;
  }
  std::memcpy(outbox_.data() + outbox_used_, bytes.data(), bytes.size());
  outbox_used_ += bytes.size();
}

void Link::flush() {
  if (outbox_used_ == 0) return;
  send_now({outbox_.data(), outbox_used_}, Deadline(limit_));
  outbox_used_ = 0;
}

void Link::send_now(std::span<const std::uint8_t> bytes, const Deadline& deadline) {
  while (!bytes.empty()) bytes = bytes.subspan(stream_->write_some(bytes, deadline));
}

void Link::read(std::span<std::uint8_t> out) {
  if (out.empty()) return;
  traffic_.bytes_received += out.size();
  if (sent_last_) ++traffic_.rounds;
  sent_last_ = false;
  flush();
  const Deadline deadline(limit_);
  while (!out.empty()) {
    if (inbox_at_ == inbox_used_) {
      if (out.size() >= kBufferBytes) {
        out = out.subspan(stream_->read_some(out, deadline));
        continue;
      }
      inbox_used_ = stream_->read_some({inbox_.data(), inbox_.size()}, deadline);
      inbox_at_ = 0;
    }
    const std::size_t count = std::min(out.size(), inbox_used_ - inbox_at_);
    std::memcpy(out.data(), inbox_.data() + inbox_at_, count);
    inbox_at_ += count;
    out = out.subspan(count);
  }
}

}  // namespace capc::gc::programs
