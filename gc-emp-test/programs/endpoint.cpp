#include "endpoint.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "failures.hpp"

namespace capc::gc::programs {
namespace {

constexpr Seconds kHandshakeLimit{10.0};
constexpr int kBacklog = 16;
constexpr int kRetryMilliseconds = 5;

Descriptor tcp_socket() {
  Descriptor descriptor(::socket(AF_INET, SOCK_STREAM, 0));
  if (!descriptor.is_open()) throw SystemError(with_reason("cannot make a socket", errno));
  const int flags = ::fcntl(descriptor.get(), F_GETFL);
  if (::fcntl(descriptor.get(), F_SETFD, FD_CLOEXEC) < 0 || flags < 0 ||
      ::fcntl(descriptor.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    throw SystemError(with_reason("cannot make a socket", errno));
  }
  return descriptor;
}

int socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

/// A free port connects to itself where the system happens to pick it as the source too.
bool is_connected_to_itself(int fd) {
  sockaddr_in own{};
  sockaddr_in peer{};
  socklen_t own_length = sizeof own;
  socklen_t peer_length = sizeof peer;
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_length) == 0 &&
         ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_length) == 0 &&
         own.sin_port == peer.sin_port && own.sin_addr.s_addr == peer.sin_addr.s_addr;
}

/// 0, or the system's error number.
int try_to_connect(int fd, const sockaddr_in& address, const Deadline& deadline, int owner) {
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    if (errno != EINPROGRESS) return errno;
    if (!wait_until_ready(fd, Want::Write, deadline, owner)) return ETIMEDOUT;
    if (const int error = socket_error(fd); error != 0) return error;
  }
  return is_connected_to_itself(fd) ? ECONNREFUSED : 0;
}

}  // namespace

Listener::Listener(std::uint16_t port) : socket_(tcp_socket()) {
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t length = sizeof address;
  if (::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
      ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
      ::listen(socket_.get(), kBacklog) < 0 ||
      ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length) < 0) {
    const int reason = errno;
    throw SystemError(with_reason("cannot listen on 127.0.0.1:" + std::to_string(port), reason) +
                      (reason == EADDRINUSE ? "; give another port" : ""));
  }
  port_ = ntohs(address.sin_port);
}

Descriptor Listener::accept(const Deadline& deadline, int owner) const {
  while (true) {
    if (!wait_until_ready(socket_.get(), Want::Read, deadline, owner)) {
      throw ProtocolError("no peer connected until the time ran out (--timeout)");
    }
    Descriptor connection(::accept(socket_.get(), nullptr, nullptr));
    if (connection.is_open()) return connection;
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ECONNABORTED) {
      throw SystemError(with_reason("cannot accept a connection", errno));
    }
  }
}

std::unique_ptr<Stream> Listener::accept_with_key(const LinkKey& key, const Deadline& deadline,
                                                  int owner) const {
  while (true) {
    Descriptor connection = accept(deadline, owner);
    const Deadline handshake(std::min(kHandshakeLimit, deadline.left()));
    try {
      return tls_stream(std::move(connection), owner, Side::Server, key, handshake);
    } catch (const ProtocolError& error) {
      std::fprintf(stderr, "a connection was dropped: %s\n", error.what());
    }
  }
}

Descriptor connect_to(const std::string& host, std::uint16_t port, Absent absent,
                      const Deadline& deadline, int owner) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    throw UsageError("--host is '" + host + "'; an IPv4 address is needed");
  }
  while (true) {
    Descriptor connection = tcp_socket();
    const int error = try_to_connect(connection.get(), address, deadline, owner);
    if (error == 0) return connection;
    if (error == ECONNREFUSED && absent == Absent::Retry && !deadline.has_passed()) {
      static_cast<void>(::poll(nullptr, 0, kRetryMilliseconds));
      continue;
    }
    throw ProtocolError(
        with_reason("party 1 does not answer at " + host + ":" + std::to_string(port), error));
  }
}

}  // namespace capc::gc::programs
