#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "circuit.hpp"

namespace capc::gc {

// Further circuits of layers, which know more of their input or need a table. As in circuits.hpp,
// x = a + b mod 2^ring_bits, signed, and the evaluator learns the result minus the garbler's mask.

/// y = v^2 >> drop for v = x >> shift, where the caller has proved |v| < 2^value_bits, and the
/// square to fit the ring: value_bits <= (ring_bits + drop) / 2.
[[nodiscard]] Circuit narrow_square_circuit(std::size_t ring_bits, std::size_t shift,
                                            std::size_t drop, std::size_t value_bits);
/// Exact where shift + value_bits < ring_bits.
[[nodiscard]] std::size_t narrow_square_and_count(std::size_t shift, std::size_t value_bits);

/// A function that is linear on 2^r equal segments of [-2^reach, 2^reach) and simple outside.
///
/// For v = (x >> shift) and w = v + 2^reach, segment j = w >> h and u = w mod 2^h, where
/// h = reach + 1 - r: y = (bases[j] + slopes[j] * u) >> slope_bits. Below the segments y = `below`;
/// above them y is `above`, or v where there is none.
struct PiecewiseLinear {
  std::size_t reach;
  std::size_t slope_bits;
  std::vector<std::int64_t> slopes;
  std::vector<std::int64_t> bases;
  std::int64_t below;
  std::optional<std::int64_t> above;
};

[[nodiscard]] Circuit piecewise_linear_circuit(std::size_t ring_bits, std::size_t shift,
                                               const PiecewiseLinear& function);
/// Exact unless a bit of all slopes or all bases is the same, which then costs less.
[[nodiscard]] std::size_t piecewise_linear_and_count(std::size_t ring_bits, std::size_t shift,
                                                     const PiecewiseLinear& function);

}  // namespace capc::gc
