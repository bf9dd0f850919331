#include "curve.hpp"

#include <openssl/obj_mac.h>

#include <stdexcept>

#include "errors.hpp"

namespace capc::gc {

void require_curve(bool ok) {
  if (!ok) throw std::runtime_error("OpenSSL failed in an operation on P-256");
}

Curve::Curve()
    : group_(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)), context_(BN_CTX_secure_new()) {
  require_curve(group_ != nullptr && context_ != nullptr);
}

Point Curve::point() const {
  Point p(EC_POINT_new(group_.get()));
  require_curve(p != nullptr);
  return p;
}

Scalar Curve::random_scalar() const {
  Scalar s(BN_secure_new());
  require_curve(s != nullptr);
  do {
    require_curve(BN_priv_rand_range(s.get(), EC_GROUP_get0_order(group_.get())) == 1);
  } while (BN_is_zero(s.get()));
  return s;
}

Point Curve::times_generator(const Scalar& s) const {
  Point p = point();
  require_curve(EC_POINT_mul(group_.get(), p.get(), s.get(), nullptr, nullptr, context()) == 1);
  return p;
}

Point Curve::times(const Point& base, const Scalar& s) const {
  Point p = point();
  require_curve(EC_POINT_mul(group_.get(), p.get(), nullptr, base.get(), s.get(), context()) == 1);
  return p;
}

Point Curve::sum(const Point& a, const Point& b) const {
  Point p = point();
  require_curve(EC_POINT_add(group_.get(), p.get(), a.get(), b.get(), context()) == 1);
  return p;
}

void Curve::negate(Point& p) const {
  require_curve(EC_POINT_invert(group_.get(), p.get(), context()) == 1);
}

void Curve::encode(const Point& p, std::uint8_t* out) const {
  if (EC_POINT_point2oct(group_.get(), p.get(), POINT_CONVERSION_UNCOMPRESSED, out, kPointBytes,
                         context()) != kPointBytes) {
    throw ProtocolError("the base transfers met the point at infinity");
  }
}

Point Curve::decode(ConstBytes bytes) const {
  Point p = point();
  if (bytes[0] != POINT_CONVERSION_UNCOMPRESSED ||
      EC_POINT_oct2point(group_.get(), p.get(), bytes.data(), kPointBytes, context()) != 1) {
    throw ProtocolError("the peer sent a string that is not a point of P-256");
  }
  return p;
}

}  // namespace capc::gc
