#pragma once

#include <string_view>

#include "curve.hpp"
#include "wire_format.hpp"

namespace capc::gc {

/// A point of P-256 whose discrete logarithm nobody knows: RFC 9380, suite
/// P256_XMD:SHA-256_SSWU_RO_, a random oracle into the group where SHA-256 is one. `domain` is the
/// RFC's DST, 1 to 255 bytes. Runs in variable time: the message must be public.
[[nodiscard]] Point hash_to_curve(const Curve& curve, ConstBytes message, std::string_view domain);

}  // namespace capc::gc
