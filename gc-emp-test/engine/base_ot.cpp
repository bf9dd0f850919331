#include "base_ot.hpp"

#include <cstring>
#include <vector>

#include "errors.hpp"
#include "hash_to_curve.hpp"
#include "hashing.hpp"

namespace capc::gc {
namespace {

/// T: by the sender's offer and the receiver's session, neither of which knows the other before.
[[nodiscard]] Point difference_of(const Curve& curve, Block session, ConstBytes offer) {
  static constexpr std::string_view kDomain =
      "CAPC-V02-base-transfer-with-P256_XMD:SHA-256_SSWU_RO_";
  std::array<std::uint8_t, sizeof(Block) + kPointBytes> message;
  std::memcpy(message.data(), &session, sizeof session);
  std::memcpy(message.data() + sizeof session, offer.data(), kPointBytes);
  return hash_to_curve(curve, message, kDomain);
}

/// Keys of one run of the protocol: a hash of its transcript, the transfer's index and a point.
class KeyDerivation {
 public:
  KeyDerivation(Block session, ConstBytes offer, ConstBytes points)
      : transcript_(hash_("capc base transcript 2", {bytes_of(session), offer, points})) {}

  [[nodiscard]] Block operator()(std::size_t index, const Curve& curve, const Point& point) const {
    Secret<EncodedPoint> encoded;
    curve.encode(point, encoded.get().data());
    const std::uint8_t number = static_cast<std::uint8_t>(index);
    Digest digest =
        hash_("capc base key 2", {transcript_, bytes_of(number), ConstBytes(encoded.get())});
    Block key;
    std::memcpy(&key, digest.data(), sizeof key);
    wipe(digest.data(), digest.size());
    return key;
  }

 private:
  Sha256 hash_;
  Digest transcript_;
};

}  // namespace

struct BaseSender::State {
  Curve curve;
  Scalar secret = curve.random_scalar();
  EncodedPoint offer{};
};

BaseSender::BaseSender() : state_(std::make_unique<State>()) {}
BaseSender::~BaseSender() = default;

void BaseSender::offer(Bytes out) {
  const Curve& curve = state_->curve;
  curve.encode(curve.times_generator(state_->secret), state_->offer.data());
  std::memcpy(out.data(), state_->offer.data(), kPointBytes);
}

void BaseSender::keys(Block session, ConstBytes points, SecretArray<Block>& zero,
                      SecretArray<Block>& one) {
  const Curve& curve = state_->curve;
  const KeyDerivation derive(session, state_->offer, points);
  Point shift = curve.times(difference_of(curve, session, state_->offer), state_->secret);
  curve.negate(shift);
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    const Point chosen = curve.decode(points.subspan(i * kPointBytes, kPointBytes));
    const Point product = curve.times(chosen, state_->secret);
    zero[i] = derive(i, curve, product);
    one[i] = derive(i, curve, curve.sum(product, shift));
  }
}

struct BaseReceiver::State {
  Curve curve;
  Point offer;
  std::vector<Scalar> secrets;
  std::unique_ptr<KeyDerivation> derive;
};

BaseReceiver::BaseReceiver() : state_(std::make_unique<State>()) {}
BaseReceiver::~BaseReceiver() = default;

void BaseReceiver::choose(ConstBytes offer, Block session, Block choices, Bytes out) {
  const Curve& curve = state_->curve;
  state_->offer = curve.decode(offer);
  const Point difference = difference_of(curve, session, offer);
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    state_->secrets.push_back(curve.random_scalar());
    const Point zero = curve.times_generator(state_->secrets.back());
    const Point one = curve.sum(zero, difference);
    Secret<std::array<EncodedPoint, 2>> encoded;
    curve.encode(zero, encoded.get()[0].data());
    curve.encode(one, encoded.get()[1].data());
    const auto mask = static_cast<std::uint8_t>(0U - static_cast<unsigned>(bit_of(choices, i)));
    std::uint8_t* const to = out.data() + i * kPointBytes;
    for (std::size_t j = 0; j < kPointBytes; ++j) {
      const std::uint8_t byte = encoded.get()[0][j];
      to[j] = static_cast<std::uint8_t>(byte ^ (mask & (byte ^ encoded.get()[1][j])));
    }
  }
  state_->derive = std::make_unique<KeyDerivation>(session, offer, out);
}

void BaseReceiver::keys(SecretArray<Block>& chosen) {
  const Curve& curve = state_->curve;
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    chosen[i] = (*state_->derive)(i, curve, curve.times(state_->offer, state_->secrets[i]));
  }
  state_->secrets.clear();
}

}  // namespace capc::gc
