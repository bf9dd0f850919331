#pragma once

#include "lookup_plan.hpp"

namespace capc::gc {

// With c the carry of the dropped bits, a number x >= 0 in shares a and b has
//   x >> shift = (a >> shift) + (b >> shift) + c - 2^(ring_bits - shift) w,
// where w is 1 if the highest bit of a or of b is. The sign of x is known once the carry into the
// highest bit is, and leaves are cut at `shift`, so that c is a node of the same tree.

/// max(x, 0) >> shift, shared modulo 2^output_bits. UsageError for figures that no ring has.
[[nodiscard]] LookupPlan relu_plan(std::size_t ring_bits, std::size_t shift,
                                   std::size_t output_bits);

/// min(max(x, 0) >> shift, cap), likewise; 0 < cap < 2^(ring_bits - 1 - shift).
///
/// The bits from `shift` on are compared twice, for the signs of x and of x - cap 2^shift, on the
/// same transfers. Where x is negative the second sign may be wrong; it is not used then.
[[nodiscard]] LookupPlan bounded_relu_plan(std::size_t ring_bits, std::size_t shift, Word cap,
                                           std::size_t output_bits);

}  // namespace capc::gc
