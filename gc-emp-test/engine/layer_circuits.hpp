#pragma once

#include <cstddef>

#include "circuit.hpp"

namespace capc::gc {

// Further layers of today's classifiers. As in circuits.hpp, x = a + b mod 2^ring_bits, signed, and
// the evaluator learns the result minus a mask of the garbler.

/// y = min(max(x, 0) >> shift, cap), 0 < cap < 2^(ring_bits - 1 - shift): Relu6 with cap = 6 · 2^f.
[[nodiscard]] Circuit bounded_relu_circuit(std::size_t ring_bits, std::size_t shift, Word cap);
[[nodiscard]] std::size_t bounded_relu_and_count(std::size_t ring_bits, std::size_t shift,
                                                 Word cap);

/// y = x >> shift for x >= 0, else (slope x) >> (shift + fraction_bits), 0 <= slope <
/// 2^fraction_bits.
[[nodiscard]] Circuit leaky_relu_circuit(std::size_t ring_bits, std::size_t shift, Word slope,
                                         std::size_t fraction_bits);

/// y = (x >> shift)^2 >> fraction_bits, exact where y < 2^(ring_bits - 1).
[[nodiscard]] Circuit square_circuit(std::size_t ring_bits, std::size_t shift,
                                     std::size_t fraction_bits);

/// y = the greatest of `window` words: max-pooling.
[[nodiscard]] Circuit maximum_circuit(std::size_t ring_bits, std::size_t window);
[[nodiscard]] std::size_t maximum_and_count(std::size_t ring_bits, std::size_t window);

/// y = 2^place for x >= 0, else 0, shared modulo 2^output_bits: a step function, and with place 0
/// one class of a multi-label vote, for which the garbler subtracts the class's threshold first.
[[nodiscard]] Circuit step_circuit(std::size_t ring_bits, std::size_t output_bits,
                                   std::size_t place = 0);
[[nodiscard]] std::size_t step_and_count(std::size_t ring_bits);

/// y_j = 1 for the `k` greatest of `classes` words, lower indices first on ties, else 0, shared
/// modulo 2^vote_bits.
[[nodiscard]] Circuit top_k_circuit(std::size_t ring_bits, std::size_t classes, std::size_t k,
                                    std::size_t vote_bits);
[[nodiscard]] std::size_t top_k_and_count(std::size_t ring_bits, std::size_t classes,
                                          std::size_t k);

}  // namespace capc::gc
