#pragma once

#include "lookup_plan.hpp"

namespace capc::gc {

constexpr std::size_t kMaxMaximumInputs = 4;

/// The greatest of two to four numbers, for a fixed mask of the holder's. All of them are compared
/// at once: exact where their differences lie in the signed numbers of ring_bits. 2 <= ring_bits <=
/// 64, and of four numbers few enough for the transfers back of an instance (UsageError). With
/// ring_bits < output_bits <= 64 the numbers lie in [0, 2^(ring_bits - 1)), and the output is
/// shared modulo 2^output_bits.
[[nodiscard]] LookupPlan maximum_plan(std::size_t ring_bits, std::size_t inputs,
                                      std::size_t output_bits);

}  // namespace capc::gc
