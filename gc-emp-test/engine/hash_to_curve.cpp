#include "hash_to_curve.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <vector>

#include "errors.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kElementBytes = 48;  // L of the suite: 256 bits of the field and 128 more
constexpr std::size_t kDigestBytes = SHA256_DIGEST_LENGTH;
constexpr std::size_t kBlockBytes = 64;
constexpr std::size_t kUniformBytes = 2 * kElementBytes;

using ByteString = std::vector<std::uint8_t>;
using UniformBytes = std::array<std::uint8_t, kUniformBytes>;

/// expand_message_xmd of section 5.3.1, for two field elements.
[[nodiscard]] UniformBytes expand_message(ConstBytes message, std::string_view domain) {
  if (domain.empty() || domain.size() > 255) {
    throw UsageError("a domain of hash_to_curve has 1 to 255 bytes");
  }
  ByteString suffix(domain.begin(), domain.end());
  suffix.push_back(static_cast<std::uint8_t>(domain.size()));

  ByteString first(kBlockBytes, 0);
  first.insert(first.end(), message.begin(), message.end());
  first.insert(first.end(), {0, kUniformBytes, 0});
  first.insert(first.end(), suffix.begin(), suffix.end());
  std::array<std::uint8_t, kDigestBytes> start;
  SHA256(first.data(), first.size(), start.data());

  UniformBytes uniform;
  std::array<std::uint8_t, kDigestBytes> block{};
  for (std::uint8_t i = 1; i <= kUniformBytes / kDigestBytes; ++i) {
    ByteString text(kDigestBytes);
    for (std::size_t j = 0; j < kDigestBytes; ++j) {
      text[j] = static_cast<std::uint8_t>(start[j] ^ block[j]);
    }
    text.push_back(i);
    text.insert(text.end(), suffix.begin(), suffix.end());
    SHA256(text.data(), text.size(), block.data());
    std::copy(block.begin(), block.end(), uniform.begin() + (i - 1) * kDigestBytes);
  }
  return uniform;
}

/// Arithmetic modulo the curve's prime p, which is 3 modulo 4, and the curve's A and B.
class Field {
 public:
  explicit Field(const Curve& curve) : context_(curve.context()) {
    require_curve(EC_GROUP_get_curve(curve.group(), p_.get(), a_.get(), b_.get(), context_) == 1);
  }
  [[nodiscard]] const Scalar& a() const { return a_; }
  [[nodiscard]] const Scalar& b() const { return b_; }

  [[nodiscard]] static Scalar number() {
    Scalar x(BN_new());
    require_curve(x != nullptr);
    return x;
  }
  [[nodiscard]] static Scalar small(BN_ULONG value) {
    Scalar x = number();
    require_curve(BN_set_word(x.get(), value) == 1);
    return x;
  }
  [[nodiscard]] Scalar reduce(ConstBytes big_endian) const {
    Scalar x(BN_bin2bn(big_endian.data(), static_cast<int>(big_endian.size()), nullptr));
    require_curve(x != nullptr && BN_nnmod(x.get(), x.get(), p_.get(), context_) == 1);
    return x;
  }
  [[nodiscard]] Scalar sum(const Scalar& x, const Scalar& y) const {
    Scalar z = number();
    require_curve(BN_mod_add(z.get(), x.get(), y.get(), p_.get(), context_) == 1);
    return z;
  }
  [[nodiscard]] Scalar negative(const Scalar& x) const {
    Scalar z = number();
    require_curve(BN_mod_sub(z.get(), z.get(), x.get(), p_.get(), context_) == 1);
    return z;
  }
  [[nodiscard]] Scalar product(const Scalar& x, const Scalar& y) const {
    Scalar z = number();
    require_curve(BN_mod_mul(z.get(), x.get(), y.get(), p_.get(), context_) == 1);
    return z;
  }
  /// inv0 of the RFC: 0 for 0.
  [[nodiscard]] Scalar inverse(const Scalar& x) const {
    Scalar z = number();
    if (BN_is_zero(x.get())) return z;
    require_curve(BN_mod_inverse(z.get(), x.get(), p_.get(), context_) != nullptr);
    return z;
  }
  /// x^((p + 1) / 4): a square root of x where there is one.
  [[nodiscard]] Scalar root(const Scalar& x) const {
    Scalar exponent = number();
    Scalar z = number();
    require_curve(BN_copy(exponent.get(), p_.get()) != nullptr &&
                  BN_add_word(exponent.get(), 1) == 1 &&
                  BN_rshift(exponent.get(), exponent.get(), 2) == 1 &&
                  BN_mod_exp(z.get(), x.get(), exponent.get(), p_.get(), context_) == 1);
    return z;
  }

 private:
  BN_CTX* context_;
  Scalar p_ = number();
  Scalar a_ = number();
  Scalar b_ = number();
};

/// x^3 + A x + B.
[[nodiscard]] Scalar right_side(const Field& field, const Scalar& x) {
  const Scalar inner = field.sum(field.product(x, x), field.a());
  return field.sum(field.product(inner, x), field.b());
}

/// map_to_curve_simple_swu of section 6.6.2, with Z = -10.
[[nodiscard]] Point map_to_curve(const Curve& curve, const Field& field, const Scalar& u) {
  const Scalar z = field.negative(Field::small(10));
  const Scalar zu2 = field.product(z, field.product(u, u));
  const Scalar t = field.inverse(field.sum(field.product(zu2, zu2), zu2));
  const Scalar minus_b_over_a = field.product(field.negative(field.b()), field.inverse(field.a()));
  Scalar x = BN_is_zero(t.get())
                 ? field.product(field.b(), field.inverse(field.product(z, field.a())))
                 : field.product(minus_b_over_a, field.sum(Field::small(1), t));
  Scalar square = right_side(field, x);
  Scalar y = field.root(square);
  if (BN_cmp(field.product(y, y).get(), square.get()) != 0) {
    x = field.product(zu2, x);
    square = right_side(field, x);
    y = field.root(square);
  }
  if (BN_is_odd(u.get()) != BN_is_odd(y.get())) y = field.negative(y);
  Point point = curve.point();
  require_curve(EC_POINT_set_affine_coordinates(curve.group(), point.get(), x.get(), y.get(),
                                                curve.context()) == 1);
  return point;
}

}  // namespace

Point hash_to_curve(const Curve& curve, ConstBytes message, std::string_view domain) {
  const UniformBytes uniform = expand_message(message, domain);
  const Field field(curve);
  const ConstBytes bytes(uniform);
  const Scalar first = field.reduce(bytes.first(kElementBytes));
  const Scalar second = field.reduce(bytes.subspan(kElementBytes));
  return curve.sum(map_to_curve(curve, field, first), map_to_curve(curve, field, second));
}

}  // namespace capc::gc
