#include "stream.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>

#include "failures.hpp"

namespace capc::gc::programs {
namespace {

constexpr const char* kTimeout = "the peer was silent until the time ran out (--timeout)";
constexpr const char* kClosed = "the peer closed the connection";
constexpr const char* kIdentity = "capc circuit program";
constexpr std::size_t kReadAheadBytes = 65536;

void make_ready(int fd) {
  const int on = 1;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    throw SystemError(with_reason("cannot use the connection", errno));
  }
  // Only a matter of speed, so a failure is no error.
  static_cast<void>(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
}

class PlainStream final : public Stream {
 public:
  PlainStream(Descriptor socket, int owner) : socket_(std::move(socket)), owner_(owner) {
    make_ready(socket_.get());
  }

  std::size_t read_some(std::span<std::uint8_t> out, const Deadline& deadline) override {
    return transfer(Want::Read, deadline,
                    [&] { return ::recv(socket_.get(), out.data(), out.size(), 0); });
  }

  std::size_t write_some(std::span<const std::uint8_t> bytes, const Deadline& deadline) override {
    return transfer(Want::Write, deadline,
                    [&] { return ::send(socket_.get(), bytes.data(), bytes.size(), 0); });
  }

 private:
  template <class Call>
  std::size_t transfer(Want want, const Deadline& deadline, Call call) {
    while (true) {
      const ssize_t count = call();
      if (count > 0) return static_cast<std::size_t>(count);
      if (count == 0) throw ProtocolError(kClosed);
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        throw ProtocolError(with_reason("the peer is gone", errno));
      }
      if (!wait_until_ready(socket_.get(), want, deadline, owner_)) throw ProtocolError(kTimeout);
    }
  }

  Descriptor socket_;
  int owner_;
};

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SslPointer = std::unique_ptr<SSL, FreeSsl>;
using ContextPointer = std::unique_ptr<SSL_CTX, FreeSsl>;
using SessionPointer = std::unique_ptr<SSL_SESSION, FreeSsl>;

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

const LinkKey& key_of(SSL* ssl) { return *static_cast<const LinkKey*>(SSL_get_app_data(ssl)); }

/// The external PSK in the form that OpenSSL wants: a session that was never had.
SSL_SESSION* psk_session(SSL* ssl) {
  static constexpr unsigned char kAes128GcmSha256[2] = {0x13, 0x01};
  SessionPointer session(SSL_SESSION_new());
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, kAes128GcmSha256);
  if (session == nullptr || cipher == nullptr ||
      SSL_SESSION_set1_master_key(session.get(), key_of(ssl).get(), kKeyBytes) != 1 ||
      SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1) {
    return nullptr;
  }
  return session.release();
}

int offer_psk(SSL* ssl, const EVP_MD* digest, const unsigned char** identity,
              std::size_t* identity_length, SSL_SESSION** session) {
  *session = nullptr;
  if (digest != nullptr && EVP_MD_get_type(digest) != NID_sha256) return 1;
  *identity = reinterpret_cast<const unsigned char*>(kIdentity);
  *identity_length = std::strlen(kIdentity);
  *session = psk_session(ssl);
  return *session == nullptr ? 0 : 1;
}

int find_psk(SSL* ssl, const unsigned char* identity, std::size_t length, SSL_SESSION** session) {
  *session = nullptr;
  if (length != std::strlen(kIdentity) || std::memcmp(identity, kIdentity, length) != 0) return 1;
  *session = psk_session(ssl);
  return *session == nullptr ? 0 : 1;
}

ContextPointer make_context(Side side) {
  ContextPointer context(
      SSL_CTX_new(side == Side::Server ? TLS_server_method() : TLS_client_method()));
  if (context == nullptr || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_128_GCM_SHA256") != 1 ||
      SSL_CTX_set_num_tickets(context.get(), 0) != 1) {
    throw SystemError("OpenSSL cannot be set up for TLS 1.3: " + openssl_reason());
  }
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_default_read_buffer_len(context.get(), kReadAheadBytes);
  if (side == Side::Server) {
    SSL_CTX_set_psk_find_session_callback(context.get(), find_psk);
  } else {
    SSL_CTX_set_psk_use_session_callback(context.get(), offer_psk);
    // No certificate is ever trusted: a server that shows one in place of the key is refused.
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

class TlsStream final : public Stream, public Handshake {
 public:
  TlsStream(Descriptor socket, int owner, Side side) : socket_(std::move(socket)), owner_(owner) {
    make_ready(socket_.get());
    context_ = make_context(side);
    ssl_.reset(SSL_new(context_.get()));
    if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), socket_.get()) != 1) {
      throw SystemError("OpenSSL cannot use the connection: " + openssl_reason());
    }
    if (side == Side::Server) {
      SSL_set_accept_state(ssl_.get());
    } else {
      SSL_set_connect_state(ssl_.get());
    }
  }
  ~TlsStream() override {
    if (is_up_) SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

  void shake_hands(const LinkKey& key, const Deadline& deadline) {
    while (const std::optional<Want> want = step(key)) wait(*want, deadline);
  }

  [[nodiscard]] std::optional<Want> step(const LinkKey& key) override {
    SSL_set_app_data(ssl_.get(), const_cast<LinkKey*>(&key));
    const std::optional<Want> want = attempt([&] { return SSL_do_handshake(ssl_.get()); });
    SSL_set_app_data(ssl_.get(), nullptr);
    if (want) return want;
    if (SSL_session_reused(ssl_.get()) != 1) throw ProtocolError("the peer did not use the key");
    is_up_ = true;
    return std::nullopt;
  }

  [[nodiscard]] int socket() const override { return socket_.get(); }

  std::size_t read_some(std::span<std::uint8_t> out, const Deadline& deadline) override {
    std::size_t count = 0;
    perform(deadline, [&] { return SSL_read_ex(ssl_.get(), out.data(), out.size(), &count); });
    return count;
  }

  std::size_t write_some(std::span<const std::uint8_t> bytes, const Deadline& deadline) override {
    std::size_t count = 0;
    perform(deadline, [&] { return SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &count); });
    return count;
  }

 private:
  template <class Call>
  void perform(const Deadline& deadline, Call call) {
    while (const std::optional<Want> want = attempt(call)) wait(*want, deadline);
  }

  void wait(Want want, const Deadline& deadline) {
    if (!wait_until_ready(socket_.get(), want, deadline, owner_)) throw ProtocolError(kTimeout);
  }

  /// What the call waits for, or nothing where it has succeeded.
  template <class Call>
  std::optional<Want> attempt(Call call) {
    ERR_clear_error();
    errno = 0;
    const int result = call();
    if (result == 1) return std::nullopt;
    const int system_error = errno;
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return Want::Read;
      case SSL_ERROR_WANT_WRITE:
        return Want::Write;
      case SSL_ERROR_ZERO_RETURN:
        is_up_ = false;
        throw ProtocolError(kClosed);
      case SSL_ERROR_SYSCALL:
        is_up_ = false;
        throw ProtocolError(system_error == 0 ? kClosed
                                              : with_reason("the peer is gone", system_error));
      default:
        fail_protocol();
    }
  }

  [[noreturn]] void fail_protocol() {
    const bool was_up = is_up_;
    is_up_ = false;
    if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      ERR_clear_error();
      throw ProtocolError(kClosed);
    }
    throw ProtocolError((was_up ? "the peer broke the encrypted connection: "
                                : "the peer does not hold this session's key: ") +
                        openssl_reason());
  }

  Descriptor socket_;
  int owner_;
  ContextPointer context_;
  SslPointer ssl_;
  bool is_up_ = false;
};

}  // namespace

std::unique_ptr<Stream> plain_stream(Descriptor socket, int owner) {
  return std::make_unique<PlainStream>(std::move(socket), owner);
}

std::unique_ptr<Handshake> start_handshake(Descriptor socket, int owner) {
  return std::make_unique<TlsStream>(std::move(socket), owner, Side::Server);
}

std::unique_ptr<Stream> finish_handshake(std::unique_ptr<Handshake> handshake) {
  // start_handshake() makes no other kind.
  return std::unique_ptr<Stream>(static_cast<TlsStream*>(handshake.release()));
}

std::unique_ptr<Stream> tls_stream(Descriptor socket, int owner, Side side, const LinkKey& key,
                                   const Deadline& deadline) {
  auto stream = std::make_unique<TlsStream>(std::move(socket), owner, side);
  stream->shake_hands(key, deadline);
  return stream;
}

}  // namespace capc::gc::programs
