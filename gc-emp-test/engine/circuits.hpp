#pragma once

#include <cstddef>

#include "circuit.hpp"

namespace capc::gc {

/// x = a + b mod 2^ring_bits, signed; y = max(x, 0) >> shift; the evaluator learns y - m.
/// Words: online a, fixed m, evaluator b.
[[nodiscard]] Circuit relu_circuit(std::size_t ring_bits, std::size_t shift);
[[nodiscard]] std::size_t relu_and_count(std::size_t ring_bits, std::size_t shift);

/// As relu_circuit without the maximum: an arithmetic shift, rounding toward minus infinity.
[[nodiscard]] Circuit truncate_circuit(std::size_t ring_bits, std::size_t shift);
[[nodiscard]] std::size_t truncate_and_count(std::size_t ring_bits);

/// z_j = a_j + b_j mod 2^ring_bits, signed; the evaluator learns onehot(argmax z)_j - s_j mod
/// 2^vote_bits, ties to the lowest class. Words: online a_j, fixed s_j, evaluator b_j.
/// A vote counts 2^vote_shift: shares that are multiplied afterwards would keep their low bits
/// zero, so that a sum with noise would show the noise's.
[[nodiscard]] Circuit argmax_circuit(std::size_t ring_bits, std::size_t classes,
                                     std::size_t vote_bits, std::size_t vote_shift = 0);
[[nodiscard]] std::size_t argmax_and_count(std::size_t ring_bits, std::size_t classes);

/// Step 3. Words of the garbler: classes times Ŝ_j + g_j, then, with a threshold, classes times
/// Ŝ_j + g_T - T; of the evaluator: S_j; all modulo 2^vote_bits. With v = S + Ŝ as signed numbers:
/// answered = (max_j v_j + g_T >= T), learnt by both; label = argmax_j (v_j + g_j), lowest on ties,
/// learnt by the evaluator and 0 unless answered. Without a threshold the label alone.
/// Exact where |v_j|, |v_j + g_j| and |v_j + g_T - T| stay below 2^(vote_bits - 1).
[[nodiscard]] Circuit noisy_argmax_circuit(std::size_t vote_bits, std::size_t classes,
                                           bool with_threshold);
[[nodiscard]] std::size_t noisy_argmax_and_count(std::size_t vote_bits, std::size_t classes,
                                                 bool with_threshold);

/// Bits that hold a class index: at least one.
[[nodiscard]] std::size_t index_bits(std::size_t classes);

}  // namespace capc::gc
