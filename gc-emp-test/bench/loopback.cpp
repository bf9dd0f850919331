#include "loopback.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
      descriptor_(std::exchange(other.descriptor_, -1)) {}

Connection::~Connection() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Connection::send(std::span<const std::uint8_t> bytes) {
  sent += bytes.size();
  while (!bytes.empty()) {
    const ssize_t done = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done < 0) fail("send");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

void Connection::receive(std::span<std::uint8_t> bytes) {
  received += bytes.size();
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

void run_two_processes(const std::function<void(Lines&)>& child,
                       const std::function<void(Lines&)>& parent) {
  const int listener = open_socket();
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0) fail("bind");
  if (::listen(listener, kLines) != 0) fail("listen");
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("getsockname");
  }
  const pid_t process = ::fork();
  if (process < 0) fail("fork");
  if (process == 0) {
    int status = 0;
    try {
      ::close(listener);
      Lines lines;
      while (lines.size() < kLines) lines.push_back(connect_to(address.sin_port));
      child(lines);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
      status = 1;
    }
    ::_exit(status);
  }
  std::exception_ptr failure;
  try {
    Lines lines;  // in the order in which they were opened
    while (lines.size() < kLines) {
      const int accepted = ::accept(listener, nullptr, nullptr);
      if (accepted < 0) fail("accept");
      lines.emplace_back(accepted);
    }
    ::close(listener);
    parent(lines);
  } catch (...) {
    failure = std::current_exception();
  }
  int status = 0;
  ::waitpid(process, &status, 0);
  if (failure) std::rethrow_exception(failure);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("the child failed");
}

}  // namespace capc::gc::bench
