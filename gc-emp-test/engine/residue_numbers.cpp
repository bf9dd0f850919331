#include "residue_numbers.hpp"

#include <algorithm>

namespace capc::gc {
namespace {

/// The number of ones, by sums within the word: the same operations for every word, and for many
/// words side by side.
std::uint64_t ones(std::uint64_t x) {
  x -= x >> 1U & 0x5555555555555555U;
  x = (x & 0x3333333333333333U) + (x >> 2U & 0x3333333333333333U);
  x = (x + (x >> 4U)) & 0x0f0f0f0f0f0f0f0fU;
  x += x >> 8U;
  x += x >> 16U;
  x += x >> 32U;
  return x & 0x7fU;
}

}  // namespace

void combine(const PrimeModulus& modulus, std::span<const std::uint64_t> factors,
             std::uint64_t offset, const std::uint64_t* values, std::span<std::uint64_t> out) {
  for (std::size_t j = 0; j < out.size(); ++j) {
    DoubleWord sum = offset;
    for (std::size_t k = 0; k < factors.size(); ++k) {
      sum += static_cast<DoubleWord>(values[k * out.size() + j]) * factors[k];
    }
    out[j] = modulus.reduce(sum);
  }
}

void rounded_quotients(std::span<const PrimeModulus> moduli, std::span<const std::uint64_t> factors,
                       unsigned ring_bits, const std::uint64_t* values,
                       std::span<std::uint64_t> out) {
  const std::uint64_t half = std::uint64_t{1} << (63U - ring_bits);
  for (std::size_t j = 0; j < out.size(); ++j) {
    DoubleWord sum = 0;  // of fractions, in units of 2^-128, modulo 1
    for (std::size_t p = 0; p < moduli.size(); ++p) {
      const std::uint64_t y =
          moduli[p].reduce(static_cast<DoubleWord>(values[p * out.size() + j]) * factors[p]);
      const auto first = moduli[p].divide(static_cast<DoubleWord>(y) << 64U);
      const auto second = moduli[p].divide(static_cast<DoubleWord>(first.rest) << 64U);
      sum += static_cast<DoubleWord>(first.quotient) << 64U | second.quotient;
    }
    out[j] = (static_cast<std::uint64_t>(sum >> 64U) + half) >> (64U - ring_bits);
  }
}

void add_small(const PrimeModulus& modulus, std::span<const std::int8_t> small,
               std::uint64_t* values) {
  const std::uint64_t prime = modulus.value();
  for (std::size_t j = 0; j < small.size(); ++j) {
    // In [0, 2 p), modulo 2^64 below zero: what wraps is larger by far.
    std::uint64_t sum = values[j] + static_cast<std::uint64_t>(std::int64_t{small[j]});
    sum = std::min(sum, sum + prime);
    values[j] = std::min(sum, sum - prime);
  }
}

void binomial(std::span<const std::uint64_t> words, unsigned coins, std::int8_t* out) {
  const std::uint64_t heads = (std::uint64_t{1} << coins) - 1;
  const std::uint64_t both = (coins == 32 ? std::uint64_t{0} : std::uint64_t{1} << 2 * coins) - 1;
  for (std::size_t j = 0; j < words.size(); ++j) {
    // Ones among the heads, and zeros among the tails: the difference and `coins`.
    const std::uint64_t count = ones((words[j] ^ (both - heads)) & both);
    out[j] = static_cast<std::int8_t>(static_cast<int>(count) - static_cast<int>(coins));
  }
}

}  // namespace capc::gc
