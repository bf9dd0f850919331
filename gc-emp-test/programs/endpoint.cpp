#include "endpoint.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <list>
#include <optional>
#include <vector>

#include "failures.hpp"

namespace capc::gc::programs {
namespace {

constexpr Seconds kHandshakeLimit{5.0};
constexpr std::size_t kMostStrangers = 64;  // at a time; a new one takes the oldest one's place
constexpr int kBacklog = 128;
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

/// Connections whose handshakes go on side by side, the oldest first.
class Strangers {
 public:
  explicit Strangers(int owner) : owner_(owner) {}
  Strangers(const Strangers&) = delete;
  Strangers& operator=(const Strangers&) = delete;
  ~Strangers() {
    if (dropped_ > 0) {
      std::fprintf(stderr, "%zu connections were dropped, the last: %s\n", dropped_,
                   reason_.c_str());
    }
  }

  /// At most kMostStrangers: the oldest gives way.
  void add(Descriptor connection) {
    if (all_.size() >= kMostStrangers) drop_oldest("too many came at a time");
    all_.push_back(
        {start_handshake(std::move(connection), owner_), Want::Read, Deadline(kHandshakeLimit)});
  }

  void drop_late() {
    while (!all_.empty() && all_.front().deadline.has_passed()) {
      drop(all_.begin(), "no handshake in time");
    }
  }

  /// False where there is none.
  bool drop_oldest(const std::string& reason) {
    if (all_.empty()) return false;
    drop(all_.begin(), reason);
    return true;
  }

  /// Until one of them, or the listening socket, is ready, or the first time limit passes.
  void wait(int listener, const Deadline& deadline) const {
    std::vector<pollfd> watched{{listener, POLLIN, 0}};
    if (owner_ != kNoOwner) watched.push_back({owner_, kHangUp, 0});
    int limit = deadline.milliseconds_left();
    for (const Stranger& stranger : all_) {
      watched.push_back({stranger.handshake->socket(), events_of(stranger.want), 0});
    }
    if (!all_.empty()) limit = std::min(limit, all_.front().deadline.milliseconds_left());
    if (::poll(watched.data(), watched.size(), limit) < 0 && errno != EINTR) {
      throw SystemError(with_reason("cannot wait", errno));
    }
    if (owner_ != kNoOwner && watched[1].revents != 0) throw OwnerGone();
  }

  /// Each handshake as far as it goes; the first that is over, if there is one.
  std::unique_ptr<Stream> go_on(const LinkKey& key) {
    for (auto stranger = all_.begin(); stranger != all_.end();) {
      try {
        const std::optional<Want> want = stranger->handshake->step(key);
        if (!want) return finish_handshake(std::move(stranger->handshake));
        (stranger++)->want = *want;
      } catch (const ProtocolError& error) {
        stranger = drop(stranger, error.what());
      }
    }
    return nullptr;
  }

 private:
  struct Stranger {
    std::unique_ptr<Handshake> handshake;
    Want want;
    Deadline deadline;
  };

  std::list<Stranger>::iterator drop(std::list<Stranger>::iterator stranger,
                                     const std::string& reason) {
    ++dropped_;
    reason_ = reason;
    return all_.erase(stranger);
  }

  int owner_;
  std::list<Stranger> all_;
  std::size_t dropped_ = 0;
  std::string reason_;
};

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
  Strangers strangers(owner);
  while (!deadline.has_passed()) {
    strangers.drop_late();
    strangers.wait(socket_.get(), deadline);
    if (auto stream = strangers.go_on(key)) return stream;
    Descriptor connection(::accept(socket_.get(), nullptr, nullptr));
    if (connection.is_open()) {
      strangers.add(std::move(connection));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      const int error = errno;
      if (!strangers.drop_oldest("there was no room for it")) {
        throw SystemError(with_reason("cannot accept a connection", error));
      }
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ECONNABORTED) {
      throw SystemError(with_reason("cannot accept a connection", errno));
    }
  }
  throw ProtocolError("no peer connected until the time ran out (--timeout)");
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
