#include "base_ot.hpp"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/sha.h>

#include <cstring>
#include <vector>

#include "errors.hpp"

namespace capc::gc {
namespace {

template <auto kFree>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};
using Group = std::unique_ptr<EC_GROUP, Deleter<EC_GROUP_free>>;
using Point = std::unique_ptr<EC_POINT, Deleter<EC_POINT_clear_free>>;
using Scalar = std::unique_ptr<BIGNUM, Deleter<BN_clear_free>>;
using Context = std::unique_ptr<BN_CTX, Deleter<BN_CTX_free>>;
using Encoded = std::array<std::uint8_t, kPointBytes>;

void require(bool ok) {
  if (!ok) throw std::runtime_error("OpenSSL failed in an operation on P-256");
}

/// P-256 with the scratch space that one party needs.
class Curve {
 public:
  Curve()
      : group_(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)), context_(BN_CTX_secure_new()) {
    require(group_ != nullptr && context_ != nullptr);
  }
  [[nodiscard]] Point point() const {
    Point p(EC_POINT_new(group_.get()));
    require(p != nullptr);
    return p;
  }
  [[nodiscard]] Scalar random_scalar() const {
    Scalar s(BN_secure_new());
    require(s != nullptr);
    do {
      require(BN_priv_rand_range(s.get(), EC_GROUP_get0_order(group_.get())) == 1);
    } while (BN_is_zero(s.get()));
    return s;
  }
  [[nodiscard]] Point times_generator(const Scalar& s) const {
    Point p = point();
    require(EC_POINT_mul(group_.get(), p.get(), s.get(), nullptr, nullptr, context_.get()) == 1);
    return p;
  }
  [[nodiscard]] Point times(const Point& base, const Scalar& s) const {
    Point p = point();
    require(EC_POINT_mul(group_.get(), p.get(), nullptr, base.get(), s.get(), context_.get()) == 1);
    return p;
  }
  [[nodiscard]] Point sum(const Point& a, const Point& b) const {
    Point p = point();
    require(EC_POINT_add(group_.get(), p.get(), a.get(), b.get(), context_.get()) == 1);
    return p;
  }
  void negate(Point& p) const {
    require(EC_POINT_invert(group_.get(), p.get(), context_.get()) == 1);
  }
  /// The point at infinity has no encoding of this length: a peer could force it, chance cannot.
  void encode(const Point& p, std::uint8_t* out) const {
    if (EC_POINT_point2oct(group_.get(), p.get(), POINT_CONVERSION_UNCOMPRESSED, out, kPointBytes,
                           context_.get()) != kPointBytes) {
      throw ProtocolError("the base transfers met the point at infinity");
    }
  }
  [[nodiscard]] Point decode(ConstBytes bytes) const {
    Point p = point();
    if (bytes[0] != POINT_CONVERSION_UNCOMPRESSED ||
        EC_POINT_oct2point(group_.get(), p.get(), bytes.data(), kPointBytes, context_.get()) != 1) {
      throw ProtocolError("the peer sent a string that is not a point of P-256");
    }
    return p;
  }

 private:
  Group group_;
  Context context_;
};

using Digest = std::array<std::uint8_t, SHA256_DIGEST_LENGTH>;

[[nodiscard]] Digest transcript_of(const std::uint8_t* offer, const std::uint8_t* points) {
  std::vector<std::uint8_t> text(offer, offer + kPointBytes);
  text.insert(text.end(), points, points + kBaseTransfers * kPointBytes);
  Digest digest;
  SHA256(text.data(), text.size(), digest.data());
  return digest;
}

[[nodiscard]] Block derive_key(const Digest& transcript, std::size_t index, const Encoded& point) {
  static constexpr char kDomain[] = "capc base transfer 1";
  std::array<std::uint8_t, sizeof kDomain + sizeof(Digest) + 1 + kPointBytes> text;
  std::uint8_t* at = text.data();
  std::memcpy(at, kDomain, sizeof kDomain);
  std::memcpy(at + sizeof kDomain, transcript.data(), transcript.size());
  at[sizeof kDomain + sizeof(Digest)] = static_cast<std::uint8_t>(index);
  std::memcpy(at + sizeof kDomain + sizeof(Digest) + 1, point.data(), kPointBytes);
  Digest digest;
  SHA256(text.data(), text.size(), digest.data());
  Block key;
  std::memcpy(&key, digest.data(), sizeof key);
  OPENSSL_cleanse(text.data(), text.size());
  OPENSSL_cleanse(digest.data(), digest.size());
  return key;
}

[[nodiscard]] std::uint64_t bit_of(Block choices, std::size_t i) {
  return ((i < 64 ? choices.lo : choices.hi) >> (i % 64)) & 1U;
}

}  // namespace

struct BaseSender::State {
  Curve curve;
  Scalar secret = curve.random_scalar();
  Point offer = curve.times_generator(secret);
  Encoded encoded_offer{};
};

BaseSender::BaseSender() : state_(std::make_unique<State>()) {}
BaseSender::~BaseSender() = default;

void BaseSender::offer(Bytes out) {
  state_->curve.encode(state_->offer, state_->encoded_offer.data());
  std::memcpy(out.data(), state_->encoded_offer.data(), kPointBytes);
}

void BaseSender::keys(ConstBytes points, SecretArray<Block>& zero, SecretArray<Block>& one) {
  const Curve& curve = state_->curve;
  const Digest transcript = transcript_of(state_->encoded_offer.data(), points.data());
  Point shift = curve.times(state_->offer, state_->secret);
  curve.negate(shift);
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    const Point chosen = curve.decode(points.subspan(i * kPointBytes, kPointBytes));
    const Point product = curve.times(chosen, state_->secret);
    Encoded encoded;
    curve.encode(product, encoded.data());
    zero[i] = derive_key(transcript, i, encoded);
    curve.encode(curve.sum(product, shift), encoded.data());
    one[i] = derive_key(transcript, i, encoded);
    OPENSSL_cleanse(encoded.data(), encoded.size());
  }
}

struct BaseReceiver::State {
  Curve curve;
  Point offer;
  std::vector<Scalar> secrets;
  Digest transcript{};
};

BaseReceiver::BaseReceiver() : state_(std::make_unique<State>()) {}
BaseReceiver::~BaseReceiver() = default;

void BaseReceiver::choose(ConstBytes offer, Block choices, Bytes out) {
  const Curve& curve = state_->curve;
  state_->offer = curve.decode(offer);
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    state_->secrets.push_back(curve.random_scalar());
    const Point zero = curve.times_generator(state_->secrets.back());
    const Point one = curve.sum(zero, state_->offer);
    Encoded encoded[2];
    curve.encode(zero, encoded[0].data());
    curve.encode(one, encoded[1].data());
    const auto mask = static_cast<std::uint8_t>(0U - static_cast<unsigned>(bit_of(choices, i)));
    std::uint8_t* const to = out.data() + i * kPointBytes;
    for (std::size_t j = 0; j < kPointBytes; ++j) {
      to[j] = static_cast<std::uint8_t>(encoded[0][j] ^ (mask & (encoded[0][j] ^ encoded[1][j])));
    }
  }
  state_->transcript = transcript_of(offer.data(), out.data());
}

void BaseReceiver::keys(SecretArray<Block>& chosen) {
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    Encoded encoded;
    state_->curve.encode(state_->curve.times(state_->offer, state_->secrets[i]), encoded.data());
    chosen[i] = derive_key(state_->transcript, i, encoded);
    OPENSSL_cleanse(encoded.data(), encoded.size());
  }
  state_->secrets.clear();
}

}  // namespace capc::gc
