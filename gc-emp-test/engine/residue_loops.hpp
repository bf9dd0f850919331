#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.hpp"

namespace capc::gc {

/// A constant w below a prime p, and floor(2^64 w / p), which makes products by it cheap (Shoup).
struct Factor {
  std::uint64_t value;
  std::uint64_t quotient;
};

/// What one direction of a transform needs, of `degree` coefficients modulo `prime`.
///
/// The butterflies of a stage of m groups multiply those of group i by roots[m + i].
struct TransformView {
  std::size_t degree;
  std::uint64_t prime;
  const std::uint64_t* roots;
  const std::uint64_t* quotients;
  Factor scale;  // the inverse ends with products by these two
  Factor last_scale;
};

/// What reduces 128-bit integers modulo `prime`, below 2^61.
struct Reduction {
  std::uint64_t prime;
  Factor shift;  // 2^64
  Factor one;
};

/// What joins two polynomials in NTT form under an automorphism (engine/merging.hpp). It permutes
/// the values of each group of kTurnedTogether, groups of an eighth of the polynomial in one way.
struct JoinView {
  std::size_t degree;
  std::uint64_t prime;
  const std::uint64_t* monomial;  // s, and the quotients of its Factors
  const std::uint64_t* quotients;
  const std::uint64_t* turns;  // (kTurns, kTurnedTogether): where in the group a value comes from
};
inline constexpr std::size_t kTurnedTogether = 16;
inline constexpr std::size_t kTurns = 8;

/// So many products of residues, and a residue, are below 2^128.
inline constexpr std::size_t kProductsAtOnce = 64;

/// Pairs of factors, inputs[k][c * apart + j] and weights[k][j], for `count` products of each
/// coefficient j and component c. At most kProductsAtOnce products, and one or two components.
/// `coming` has the weights of as many later products, for the cache to fetch meanwhile.
struct Terms {
  const std::uint64_t* const* inputs;
  const std::uint64_t* const* weights;
  const std::uint64_t* const* coming;
  std::size_t count;
  std::size_t components;
  std::size_t apart;
};

/// The loops over residues, as one instruction set has them.
struct ResidueLoops {
  void (*forward)(const TransformView& transform, std::uint64_t* values);
  void (*inverse)(const TransformView& transform, std::uint64_t* values);
  /// high[j] 2^64 + low[j] modulo the prime; `out` may be one of both.
  void (*reduce)(const Reduction& reduction, const std::uint64_t* low, const std::uint64_t* high,
                 std::size_t size, std::uint64_t* out);
  /// Adds to the sum of each of `size` coefficients, 128 bits in two halves, its products. The
  /// sums of the second component follow those of the first.
  void (*add_products)(const Terms& terms, std::size_t size, std::uint64_t* low,
                       std::uint64_t* high);
  /// even, odd -> even + s odd, in place of `even`; turned = a(even - s odd).
  void (*join)(const JoinView& join, std::uint64_t* even, const std::uint64_t* odd,
               std::uint64_t* turned);
  /// x[j] += y[j] modulo the prime; both may be one.
  void (*add)(std::uint64_t prime, std::uint64_t* x, const std::uint64_t* y, std::size_t size);
  /// out[j] = x[j] + offset modulo the prime, for any words that sum to less than 2^64; `out` may
  /// be x.
  void (*shift)(const Reduction& reduction, std::uint64_t offset, const std::uint64_t* x,
                std::size_t size, std::uint64_t* out);
  /// x[j] = (x[j] - y[j]) factor modulo the prime.
  void (*scale_difference)(std::uint64_t prime, Factor factor, std::uint64_t* x,
                           const std::uint64_t* y, std::size_t size);
};

/// Those for AVX-512 where the path has it.
[[nodiscard]] const ResidueLoops& residue_loops_of(Path path);

[[nodiscard]] const ResidueLoops& portable_residue_loops();
[[nodiscard]] const ResidueLoops& avx512_residue_loops();

}  // namespace capc::gc
