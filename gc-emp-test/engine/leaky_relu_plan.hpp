#pragma once

#include "lookup_plan.hpp"

namespace capc::gc {

constexpr std::size_t kMaxSlopeBits = 31;

/// x >> shift for x >= 0, else (slope x) >> (shift + slope_bits), modulo 2^ring_bits. UsageError
/// unless 0 < slope < 2^slope_bits and shift + slope_bits <= ring_bits.
///
/// For x >= 0 it is relu_plan's sum. For x < 0 let a and b be signed shares: then x is
/// a + b - 2^ring_bits (1 - w) with the same w, so that with g = shift + slope_bits
///   (slope x) >> g = (slope a >> g) + (slope b >> g) + c' - slope 2^(ring_bits - g) (1 - w),
/// where c' is the carry of the low g bits of slope a and slope b. The sign selects.
[[nodiscard]] LookupPlan leaky_relu_plan(std::size_t ring_bits, std::size_t shift, Word slope,
                                         std::size_t slope_bits);

}  // namespace capc::gc
