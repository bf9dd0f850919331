#pragma once

// Number-theoretic transforms of polynomials modulo X^degree + 1, in place, without branches or
// indices that depend on the coefficients.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.hpp"
#include "residue_loops.hpp"
#include "residues.hpp"

namespace capc::gc {

/// Lazy butterflies hold up to eight times a prime in a word.
inline constexpr std::size_t kMaxTransformBits = 60;

/// The lowest log2(count) bits of a number, in reverse; `count` is a power of two.
[[nodiscard]] inline std::size_t reversed_bits(std::size_t number, std::size_t count) {
  std::size_t reversed = 0;
  for (std::size_t bit = 1; bit < count; bit *= 2, number /= 2) {
    reversed = 2 * reversed + number % 2;
  }
  return reversed;
}

/// The transform of polynomials of `degree` coefficients modulo one prime, and its inverse.
///
/// With r the least primitive root of unity of order 2 degree, entry i of the transform is the
/// polynomial's value at r^(2 b + 1), where b has the bits of i in reverse. That is SEAL's form.
class Transform {
 public:
  /// UsageError unless `degree` is a power of two, at least 2, and `prime` a prime below
  /// 2^kMaxTransformBits that leaves 1 divided by 2 degree.
  Transform(std::size_t degree, std::uint64_t prime, Path path = best_path());

  [[nodiscard]] std::size_t degree() const { return forward_.roots.size(); }
  [[nodiscard]] std::uint64_t prime() const { return modulus_.value(); }

  /// From `degree` coefficients below the prime to as many values below the prime.
  void forward(std::uint64_t* values) const { loops_->forward(view(forward_), values); }

  /// Back again.
  void inverse(std::uint64_t* values) const { loops_->inverse(view(inverse_), values); }

 private:
  /// Powers of the root of unity, in the order in which the butterflies take them.
  struct Powers {
    std::vector<std::uint64_t> roots;
    std::vector<std::uint64_t> quotients;
  };

  [[nodiscard]] std::uint64_t least_root(std::size_t degree) const;
  void fill(Powers& powers, std::uint64_t root, std::size_t degree) const;
  [[nodiscard]] TransformView view(const Powers& powers) const;

  PrimeModulus modulus_;
  const ResidueLoops* loops_;
  Powers forward_;
  Powers inverse_;
  Factor scale_{};       // 1 / degree
  Factor last_scale_{};  // the last butterflies' root of the inverse / degree
};

}  // namespace capc::gc
