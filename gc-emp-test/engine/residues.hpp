#pragma once

// Arithmetic modulo word-sized primes, for the polynomials of the encrypted linear layers.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels.hpp"
#include "residue_loops.hpp"

namespace capc::gc {

__extension__ using DoubleWord = unsigned __int128;

/// An odd prime of up to kMaxPrimeBits bits, and what reduces 128-bit integers modulo it.
class PrimeModulus {
 public:
  /// UsageError unless odd, above 1 and below 2^kMaxPrimeBits; nothing here needs a prime.
  explicit PrimeModulus(std::uint64_t prime);

  [[nodiscard]] std::uint64_t value() const { return prime_; }

  struct Division {
    std::uint64_t quotient;
    std::uint64_t rest;
  };

  /// floor(x / p), modulo 2^64, and x mod p, by Barrett's method: with r = floor(2^128 / p), the
  /// quotient floor(x r / 2^128) is the right one or one less.
  [[nodiscard]] Division divide(DoubleWord x) const {
    const auto low = static_cast<std::uint64_t>(x);
    const auto high = static_cast<std::uint64_t>(x >> 64U);
    const DoubleWord carry = static_cast<DoubleWord>(low) * ratio_low_ >> 64U;
    const DoubleWord first = static_cast<DoubleWord>(low) * ratio_high_ + carry;
    const DoubleWord second =
        static_cast<DoubleWord>(high) * ratio_low_ + static_cast<std::uint64_t>(first);
    const std::uint64_t quotient = high * ratio_high_ + static_cast<std::uint64_t>(first >> 64U) +
                                   static_cast<std::uint64_t>(second >> 64U);
    const std::uint64_t rest = low - quotient * prime_;
    const bool less = rest >= prime_;
    return {quotient + (less ? 1U : 0U), less ? rest - prime_ : rest};
  }

  /// x mod p.
  [[nodiscard]] std::uint64_t reduce(DoubleWord x) const { return divide(x).rest; }

  [[nodiscard]] std::uint64_t multiply(std::uint64_t x, std::uint64_t y) const {
    return reduce(static_cast<DoubleWord>(x) * y);
  }

  /// The time shows the exponent, which must be public.
  [[nodiscard]] std::uint64_t power(std::uint64_t base, std::uint64_t exponent) const;

  /// Of a number that is not 0, where p is a prime.
  [[nodiscard]] std::uint64_t inverse(std::uint64_t x) const { return power(x, prime_ - 2); }

  /// A number below p, with what makes products by it cheap.
  [[nodiscard]] Factor factor(std::uint64_t value) const;

  [[nodiscard]] Reduction reduction() const;

 private:
  std::uint64_t prime_;
  std::uint64_t ratio_low_;
  std::uint64_t ratio_high_;
};

inline constexpr std::size_t kMaxPrimeBits = 61;
static_assert(2 * kMaxPrimeBits + std::bit_width(kProductsAtOnce) <= 129);

/// The input and the weight polynomial of a product, by number.
struct PolynomialPair {
  std::size_t input;
  std::size_t weight;
};

/// `count` sums of `terms` products each: `pairs` holds those of the first sum, then of the second.
struct ProductSums {
  std::span<const PrimeModulus> moduli;
  std::size_t components;  // of each input, all times the same weight: 2 of a ciphertext
  std::size_t degree;
  std::size_t count;
  std::size_t terms;
  std::span<const PolynomialPair> pairs;
  Path path = best_path();
};

/// out[s, c] = start[s, c] + sum over the pairs (i, w) of sum s: inputs[i, c] * weights[w], each
/// coefficient modulo its prime. In NTT form this is the sum of products of polynomials.
///
/// Residues below their primes: inputs (., components, primes, degree), weights (., primes,
/// degree), start and out (count, components, primes, degree). An empty `start` counts as zeros.
/// The pairs must lie within inputs and weights.
void add_products(const ProductSums& sums, const std::uint64_t* inputs,
                  const std::uint64_t* weights, std::span<const std::uint64_t> start,
                  std::uint64_t* out);

}  // namespace capc::gc
