#pragma once

#include "lookup_plan.hpp"

namespace capc::gc {

/// x^2 modulo 2^ring_bits. UsageError unless 2 <= ring_bits <= 64.
///
/// (a + b)^2 = a^2 + b^2 + the sum of 2^(i+1) a over the bits i of b that are set: one table of two
/// numbers for each bit, of which the chooser reads the one that its bit says (Gilboa, CRYPTO '99).
[[nodiscard]] LookupPlan square_plan(std::size_t ring_bits);

}  // namespace capc::gc
