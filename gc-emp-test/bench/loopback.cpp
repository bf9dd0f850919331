#include "loopback.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace capc::gc::bench {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

[[nodiscard]] sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = port;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

[[nodiscard]] int open_socket() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  if (descriptor < 0) fail("socket");
  return descriptor;
}

[[nodiscard]] Connection connect_to(std::uint16_t port) {
  const int descriptor = open_socket();
  const sockaddr_in address = loopback(port);
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail("connect");
  }
  return Connection(descriptor);
}

}  // namespace

Connection::Connection(int descriptor) : descriptor_(descriptor) {
  const int on = 1;
  if (::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) fail("setsockopt");
}

Connection::Connection(Connection&& other) noexcept
    : sent(other.sent),
      received(other.received),
      descriptor_(std::exchange(other.descriptor_, -1)),
      early_(std::move(other.early_)) {}

Connection::~Connection() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Connection::send(std::span<const std::uint8_t> bytes) {
  sent += bytes.size();
  while (!bytes.empty()) {
    const ssize_t done =
        ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno != EAGAIN) fail("send");
    if (done < 0) {
      wait_to_send();
    } else {
      bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
  }
}

void Connection::wait_to_send() {
  pollfd socket{descriptor_, POLLIN | POLLOUT, 0};
  if (::poll(&socket, 1, -1) < 0) fail("poll");
  if ((socket.revents & POLLIN) == 0) return;
  constexpr std::size_t kSome = std::size_t{1} << 18;
  const std::size_t before = early_.size();
  early_.resize(before + kSome);
  const ssize_t done = ::recv(descriptor_, &early_[before], kSome, 0);
  if (done < 0) fail("recv");
  if (done == 0) throw std::runtime_error("the other process is gone");
  early_.resize(before + static_cast<std::size_t>(done));
}

void Connection::receive(std::span<std::uint8_t> bytes) {
  received += bytes.size();
  const std::size_t here = std::min(bytes.size(), early_.size());
  if (here > 0) {
    const auto end = early_.begin() + static_cast<std::ptrdiff_t>(here);
    std::copy(early_.begin(), end, bytes.begin());
    early_.erase(early_.begin(), end);
    bytes = bytes.subspan(here);
  }
  while (!bytes.empty()) {
    const ssize_t done = ::recv(descriptor_, bytes.data(), bytes.size(), 0);
    if (done < 0) fail("recv");
    if (done == 0) throw std::runtime_error("the other process is gone");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

Message Connection::receive(std::size_t size) {
  Message message(size);
  receive(message);
  return message;
}

void run_two_processes(const std::function<void(Connection&)>& child,
                       const std::function<void(Connection&)>& parent) {
  const int listener = open_socket();
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0) fail("bind");
  if (::listen(listener, 1) != 0) fail("listen");
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("getsockname");
  }
  const pid_t process = ::fork();
  if (process < 0) fail("fork");
  if (process == 0) {
    int status = 0;
    try {
      ::close(listener);
      Connection connection = connect_to(address.sin_port);
      child(connection);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
      status = 1;
    }
    ::_exit(status);
  }
  std::exception_ptr failure;
  try {
    const int accepted = ::accept(listener, nullptr, nullptr);
    if (accepted < 0) fail("accept");
    Connection connection(accepted);
    ::close(listener);
    parent(connection);
  } catch (...) {
    failure = std::current_exception();
  }
  int status = 0;
  ::waitpid(process, &status, 0);
  if (failure) std::rethrow_exception(failure);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("the child failed");
}

}  // namespace capc::gc::bench
