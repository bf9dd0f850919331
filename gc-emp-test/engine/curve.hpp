#pragma once

// P-256 by OpenSSL; for the engine's own sources and tests only.

#include <openssl/bn.h>
#include <openssl/ec.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "wire_format.hpp"

namespace capc::gc {

constexpr std::size_t kPointBytes = 65;  // an uncompressed point of P-256

template <auto kFree>
struct OpenSslDeleter {
  template <class T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};
using Group = std::unique_ptr<EC_GROUP, OpenSslDeleter<EC_GROUP_free>>;
using Point = std::unique_ptr<EC_POINT, OpenSslDeleter<EC_POINT_clear_free>>;
using Scalar = std::unique_ptr<BIGNUM, OpenSslDeleter<BN_clear_free>>;
using Context = std::unique_ptr<BN_CTX, OpenSslDeleter<BN_CTX_free>>;
using EncodedPoint = std::array<std::uint8_t, kPointBytes>;

/// P-256 with the scratch space that one party needs. Products with secret scalars take OpenSSL's
/// ladder of constant time.
class Curve {
 public:
  Curve();
  [[nodiscard]] const EC_GROUP* group() const { return group_.get(); }
  [[nodiscard]] BN_CTX* context() const { return context_.get(); }

  [[nodiscard]] Point point() const;
  [[nodiscard]] Scalar random_scalar() const;
  [[nodiscard]] Point times_generator(const Scalar& s) const;
  [[nodiscard]] Point times(const Point& base, const Scalar& s) const;
  [[nodiscard]] Point sum(const Point& a, const Point& b) const;
  void negate(Point& p) const;
  /// kPointBytes. The point at infinity has no encoding of this length: a peer could force it,
  /// chance cannot, and it is a ProtocolError.
  void encode(const Point& p, std::uint8_t* out) const;
  /// ProtocolError where the bytes are no point.
  [[nodiscard]] Point decode(ConstBytes bytes) const;

 private:
  Group group_;
  Context context_;
};

/// Throws where OpenSSL reports a failure.
void require_curve(bool ok);

}  // namespace capc::gc
