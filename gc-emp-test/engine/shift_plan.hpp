#pragma once

#include "lookup_plan.hpp"

namespace capc::gc {

/// x >> shift for 0 <= x < 2^(ring_bits - 1) and 1 <= shift <= ring_bits - 2, shared modulo
/// 2^output_bits, a larger ring than that of x or a smaller one. UsageError for other figures.
///
/// With c the carry of the dropped bits it is
///   (a >> shift) + (b >> shift) + c - 2^(ring_bits - shift) w,
/// where w is 1 if the highest bit of a or of b is. Where this multiple of w is 0 modulo
/// 2^output_bits, any x below 2^ring_bits will do.
[[nodiscard]] LookupPlan shift_plan(std::size_t ring_bits, std::size_t shift,
                                    std::size_t output_bits);

}  // namespace capc::gc
