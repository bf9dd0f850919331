#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace capc::gc::programs {

using Seconds = std::chrono::duration<double>;

/// An open file descriptor, closed at the end.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// The moment after which waiting is an error.
class Deadline {
 public:
  explicit Deadline(Seconds from_now);
  [[nodiscard]] bool has_passed() const;
  /// For poll(): at least 1 while time is left.
  [[nodiscard]] int milliseconds_left() const;
  [[nodiscard]] Seconds left() const;

 private:
  std::chrono::steady_clock::time_point at_;
};

enum class Want : std::uint8_t { Read, Write };

[[nodiscard]] constexpr short events_of(Want want) { return want == Want::Read ? POLLIN : POLLOUT; }

constexpr int kNoOwner = -1;

// Linux tells of a half-closed socket with this flag; elsewhere POLLHUP alone has to do.
#ifdef POLLRDHUP
constexpr short kHangUp = POLLRDHUP;
#else
constexpr short kHangUp = 0;
#endif

/// Wait until `fd` is ready. False where the deadline passes first; OwnerGone where the other end
/// of `owner` (a pipe that we read commands from, or kNoOwner) is closed meanwhile.
[[nodiscard]] bool wait_until_ready(int fd, Want want, const Deadline& deadline, int owner);

/// Read exactly `out.size()` bytes from a blocking descriptor. Returns how many came before its
/// end.
[[nodiscard]] std::size_t read_fully(int fd, std::span<std::uint8_t> out);

/// Write all of `bytes` to a blocking descriptor; SystemError where that fails.
void write_fully(int fd, std::span<const std::uint8_t> bytes, const std::string& name);

/// "what: the system's reason", for SystemError.
[[nodiscard]] std::string with_reason(const std::string& what, int error_number);

}  // namespace capc::gc::programs
