#include "descriptor.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "failures.hpp"

namespace capc::gc::programs {

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Deadline::Deadline(Seconds from_now)
    : at_(std::chrono::steady_clock::now() +
          std::chrono::duration_cast<std::chrono::steady_clock::duration>(from_now)) {}

bool Deadline::has_passed() const { return std::chrono::steady_clock::now() >= at_; }

Seconds Deadline::left() const {
  return std::max(Seconds{0}, Seconds{at_ - std::chrono::steady_clock::now()});
}

int Deadline::milliseconds_left() const {
  return static_cast<int>(std::clamp(std::ceil(left().count() * 1e3), 0.0, 1e9));
}

bool wait_until_ready(int fd, Want want, const Deadline& deadline, int owner) {
  std::array<pollfd, 2> watched{{{fd, events_of(want), 0}, {owner, kHangUp, 0}}};
  while (true) {
    const int count =
        ::poll(watched.data(), owner == kNoOwner ? 1 : 2, deadline.milliseconds_left());
    if (count < 0 && errno != EINTR) throw SystemError(with_reason("cannot wait", errno));
    if (count > 0) {
      if (owner != kNoOwner && watched[1].revents != 0) throw OwnerGone();
      if (watched[0].revents != 0) return true;
    }
    if (count == 0 && deadline.has_passed()) return false;
  }
}

std::size_t read_fully(int fd, std::span<std::uint8_t> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t count = ::read(fd, out.data() + done, out.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw SystemError(with_reason("cannot read", errno));
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

void write_fully(int fd, std::span<const std::uint8_t> bytes, const std::string& name) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw SystemError(with_reason("cannot write " + name, errno));
    done += static_cast<std::size_t>(count);
  }
}

std::string with_reason(const std::string& what, int error_number) {
  return what + ": " + std::generic_category().message(error_number);
}

}  // namespace capc::gc::programs
