#include "frames.hpp"

#include <array>
#include <cstring>
#include <string>

#include "bytes.hpp"
#include "descriptor.hpp"
#include "failures.hpp"

namespace capc::gc::programs {
namespace {

constexpr std::size_t kTrafficBytes = 24;
constexpr std::size_t kTableHeaderBytes = 8;

void store_traffic(const Traffic& traffic, std::span<std::uint8_t> out) {
  store_little(traffic.bytes_sent, out.subspan(0, 8));
  store_little(traffic.bytes_received, out.subspan(8, 8));
  store_little(traffic.rounds, out.subspan(16, 8));
}

/// A frame of `length` payload bytes, its header filled in.
SecretArray<std::uint8_t> new_frame(FrameType type, std::size_t length) {
  if (length > kMaxFramePayload) throw UsageError("a result is longer than a frame may be");
  SecretArray<std::uint8_t> frame(kFrameHeaderBytes + length);
  frame[0] = 'C';
  frame[1] = 'G';
  frame[2] = kFrameVersion;
  frame[3] = static_cast<std::uint8_t>(type);
  store_little(length, {frame.data() + 4, 4});
  return frame;
}

std::span<std::uint8_t> payload_of(SecretArray<std::uint8_t>& frame) {
  return {frame.data() + kFrameHeaderBytes, frame.size() - kFrameHeaderBytes};
}

void write_frame(int fd, const SecretArray<std::uint8_t>& frame) {
  write_fully(fd, {frame.data(), frame.size()}, "to standard output");
}

}  // namespace

FrameHeader decode_command_header(std::span<const std::uint8_t> header) {
  if (header.size() != kFrameHeaderBytes || header[0] != 'C' || header[1] != 'G') {
    throw ProtocolError("standard input holds no frame where one must begin");
  }
  if (header[2] != kFrameVersion) {
    throw ProtocolError("standard input speaks version " + std::to_string(header[2]) +
                        " and this program version " + std::to_string(kFrameVersion) +
                        "; install both from one release");
  }
  if (header[3] < static_cast<std::uint8_t>(FrameType::Key) ||
      header[3] > static_cast<std::uint8_t>(FrameType::Close)) {
    throw ProtocolError("standard input holds a frame of unknown type " +
                        std::to_string(header[3]));
  }
  const std::size_t length = load_little(header.subspan(4, 4));
  if (length > kMaxFramePayload) {
    throw ProtocolError("standard input announces " + std::to_string(length) + " bytes; at most " +
                        std::to_string(kMaxFramePayload) + " fit a frame");
  }
  return {static_cast<FrameType>(header[3]), length};
}

WordTable decode_words(std::span<const std::uint8_t> payload) {
  if (payload.size() < kTableHeaderBytes) {
    throw ProtocolError("a table of words is shorter than its header");
  }
  WordTable table;
  table.instances = load_little(payload.subspan(0, 4));
  table.words = load_little(payload.subspan(4, 4));
  const std::size_t bytes = payload.size() - kTableHeaderBytes;
  // Both are below 2^32, so the product cannot wrap; times eight it could.
  const std::size_t count = table.instances * table.words;
  if (count > kMaxFramePayload / sizeof(Word) || count * sizeof(Word) != bytes) {
    throw ProtocolError("a table of " + std::to_string(table.instances) + " x " +
                        std::to_string(table.words) + " words came with " + std::to_string(bytes) +
                        " bytes");
  }
  table.values = SecretArray<Word>(count);
  if (count > 0) std::memcpy(table.values.data(), payload.data() + kTableHeaderBytes, bytes);
  return table;
}

Frame read_command(int fd) {
  std::array<std::uint8_t, kFrameHeaderBytes> header{};
  if (read_fully(fd, header) != header.size()) throw OwnerGone();
  const auto [type, length] = decode_command_header(header);
  Frame frame{type, SecretArray<std::uint8_t>(length)};
  if (read_fully(fd, {frame.payload.data(), length}) != length) throw OwnerGone();
  return frame;
}

void write_listening(int fd, std::uint16_t port) {
  SecretArray<std::uint8_t> frame = new_frame(FrameType::Listening, 4);
  store_little(port, payload_of(frame));
  write_frame(fd, frame);
}

void write_state(int fd, FrameType type, const Traffic& traffic) {
  SecretArray<std::uint8_t> frame = new_frame(type, kTrafficBytes);
  store_traffic(traffic, payload_of(frame));
  write_frame(fd, frame);
}

void write_result(int fd, const Traffic& traffic, const WordTable& table) {
  const std::size_t bytes = table.values.size() * sizeof(Word);
  SecretArray<std::uint8_t> frame =
      new_frame(FrameType::Result, kTrafficBytes + kTableHeaderBytes + bytes);
  const std::span<std::uint8_t> payload = payload_of(frame);
  store_traffic(traffic, payload);
  store_little(table.instances, payload.subspan(kTrafficBytes, 4));
  store_little(table.words, payload.subspan(kTrafficBytes + 4, 4));
  if (bytes > 0) {
    std::memcpy(payload.data() + kTrafficBytes + kTableHeaderBytes, table.values.data(), bytes);
  }
  write_frame(fd, frame);
}

void write_error(int fd, std::string_view line) {
  SecretArray<std::uint8_t> frame = new_frame(FrameType::Error, line.size());
  if (!line.empty()) std::memcpy(payload_of(frame).data(), line.data(), line.size());
  write_frame(fd, frame);
}

}  // namespace capc::gc::programs
