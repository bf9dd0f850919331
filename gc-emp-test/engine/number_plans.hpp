#pragma once

#include "lookup_plan.hpp"

namespace capc::gc {

// Functions of every number of a ring that need no selection: shared bits become numbers. Each
// throws UsageError for figures that no ring has.

/// floor(x / 2^shift) of a signed number x, 1 <= shift <= ring_bits - 2. With u = x + 2^(ring_bits
/// - 1), which is not negative, w the carry of u's shares a and b out of the ring, and c that of
/// their bits below `shift`, it is
///   (a >> shift) + (b >> shift) + c - 2^(ring_bits - shift) w - 2^(ring_bits - 1 - shift).
[[nodiscard]] LookupPlan rescale_plan(std::size_t ring_bits, std::size_t shift);

/// 2^scale_bits where x >= 0, else 0.
[[nodiscard]] LookupPlan step_plan(std::size_t ring_bits, std::size_t scale_bits);

/// x itself, shared modulo 2^output_bits, for 0 <= x < 2^(ring_bits - 1): the shares of such a
/// number have a carry out of the ring where either's highest bit is set. ring_bits < output_bits.
[[nodiscard]] LookupPlan widened_plan(std::size_t ring_bits, std::size_t output_bits);

}  // namespace capc::gc
