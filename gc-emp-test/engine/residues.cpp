#include "residues.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "errors.hpp"

namespace capc::gc {
namespace {

// The sums of a block, and the parts of the inputs that a sum reads, stay in the cache.
constexpr std::size_t kBlock = 256;
constexpr std::size_t kComponentsAtOnce = 2;

/// The parts of polynomials at the coefficients of one block: of polynomial k at data + k * apart.
struct Parts {
  [[nodiscard]] const std::uint64_t* of(std::size_t polynomial) const {
    return data + polynomial * apart;
  }

  const std::uint64_t* data;
  std::size_t apart;
};

/// Sums modulo one prime, at the coefficients of one block.
class SumsOfBlock {
 public:
  SumsOfBlock(const ProductSums& sums, const ResidueLoops& loops, std::size_t prime,
              std::size_t size, Parts inputs, Parts weights)
      : sums_(sums),
        reduction_(sums.moduli[prime].reduction()),
        loops_(loops),
        size_(size),
        inputs_(inputs),
        weights_(weights) {}

  /// Sum `number`, of the components from `first` on, so many that the loops take them together.
  /// Those of `start` and `out` are `apart` coefficients apart; `start` may be null, for zeros.
  void sum(std::size_t number, std::size_t first, const std::uint64_t* start, std::uint64_t* out,
           std::size_t apart) {
    const std::size_t some = std::min(kComponentsAtOnce, sums_.components - first);
    for (std::size_t c = 0; c < some; ++c) {
      std::uint64_t* const low = &low_[c * size_];
      if (start == nullptr) {
        std::fill_n(low, size_, 0);
      } else {
        std::copy_n(start + c * apart, size_, low);
      }
    }
    std::fill_n(high_.begin(), some * size_, 0);
    for (std::size_t k = 0; k < sums_.terms; k += kProductsAtOnce) {
      if (k != 0) {
        for (std::size_t c = 0; c < some; ++c) reduce(c, &low_[c * size_]);
        std::fill_n(high_.begin(), some * size_, 0);
      }
      add(number * sums_.terms + k, std::min(kProductsAtOnce, sums_.terms - k), first, some);
    }
    for (std::size_t c = 0; c < some; ++c) reduce(c, out + c * apart);
  }

 private:
  /// The products of up to kProductsAtOnce pairs, from pair `begin` on.
  void add(std::size_t begin, std::size_t count, std::size_t first, std::size_t some) {
    const auto weight = [&](std::size_t pair) { return weights_.of(sums_.pairs[pair].weight); };
    for (std::size_t k = 0; k < count; ++k) {
      chosen_inputs_[k] = inputs_.of(sums_.pairs[begin + k].input * sums_.components + first);
      chosen_weights_[k] = weight(begin + k);
      coming_weights_[k] = weight(std::min(begin + count + k, sums_.pairs.size() - 1));
    }
    loops_.add_products({chosen_inputs_.data(), chosen_weights_.data(), coming_weights_.data(),
                         count, some, inputs_.apart},
                        size_, low_.data(), high_.data());
  }

  void reduce(std::size_t component, std::uint64_t* out) const {
    loops_.reduce(reduction_, &low_[component * size_], &high_[component * size_], size_, out);
  }

  const ProductSums& sums_;
  Reduction reduction_;
  const ResidueLoops& loops_;
  std::size_t size_;
  Parts inputs_;
  Parts weights_;
  std::array<std::uint64_t, kComponentsAtOnce * kBlock> low_{};
  std::array<std::uint64_t, kComponentsAtOnce * kBlock> high_{};
  std::array<const std::uint64_t*, kProductsAtOnce> chosen_inputs_{};
  std::array<const std::uint64_t*, kProductsAtOnce> chosen_weights_{};
  std::array<const std::uint64_t*, kProductsAtOnce> coming_weights_{};
};

/// How many polynomials the sums read, components counted.
std::size_t inputs_of(const ProductSums& sums) {
  std::size_t inputs = 0;
  for (const PolynomialPair& pair : sums.pairs) inputs = std::max(inputs, pair.input + 1);
  return inputs * sums.components;
}

/// Side by side in `near`: as they stand, powers of two apart, they share few sets of the caches.
Parts brought_near(const Parts& parts, std::size_t size, std::vector<std::uint64_t>& near) {
  for (std::size_t k = 0; k * size < near.size(); ++k) {
    std::copy_n(parts.of(k), size, &near[k * size]);
  }
  return {near.data(), size};
}

}  // namespace

PrimeModulus::PrimeModulus(std::uint64_t prime) : prime_(prime) {
  if (prime < 3 || prime % 2 == 0 || prime >> kMaxPrimeBits != 0) {
    throw UsageError("a prime is " + std::to_string(prime) + "; allowed are odd ones below 2^" +
                     std::to_string(kMaxPrimeBits));
  }
  const DoubleWord ratio = ~DoubleWord{0} / prime;  // that of 2^128, which no odd number divides
  ratio_low_ = static_cast<std::uint64_t>(ratio);
  ratio_high_ = static_cast<std::uint64_t>(ratio >> 64U);
}

std::uint64_t PrimeModulus::power(std::uint64_t base, std::uint64_t exponent) const {
  std::uint64_t result = 1;
  for (; exponent != 0; exponent /= 2) {
    if (exponent % 2 == 1) result = multiply(result, base);
    base = multiply(base, base);
  }
  return result;
}

Factor PrimeModulus::factor(std::uint64_t value) const {
  return {value, static_cast<std::uint64_t>((static_cast<DoubleWord>(value) << 64U) / prime_)};
}

Reduction PrimeModulus::reduction() const {
  return {prime_, factor(reduce(DoubleWord{1} << 64U)), factor(1)};
}

void add_products(const ProductSums& sums, const std::uint64_t* inputs,
                  const std::uint64_t* weights, std::span<const std::uint64_t> start,
                  std::uint64_t* out) {
  const ResidueLoops& loops = residue_loops_of(sums.path);
  const std::size_t polynomial = sums.moduli.size() * sums.degree;
  const std::size_t count = inputs_of(sums);
  const bool are_read_often = sums.pairs.size() >= 2 * count;
  std::vector<std::uint64_t> near(are_read_often ? count * kBlock : 0);
  for (std::size_t prime = 0; prime < sums.moduli.size(); ++prime) {
    for (std::size_t first = prime * sums.degree; first < (prime + 1) * sums.degree;
         first += kBlock) {
      const std::size_t size = std::min(kBlock, (prime + 1) * sums.degree - first);
      Parts parts{inputs + first, polynomial};
      if (are_read_often) {
        near.resize(count * size);
        parts = brought_near(parts, size, near);
      }
      SumsOfBlock block(sums, loops, prime, size, parts, {weights + first, polynomial});
      for (std::size_t sum = 0; sum < sums.count; ++sum) {
        for (std::size_t c = 0; c < sums.components; c += kComponentsAtOnce) {
          const std::size_t at = (sum * sums.components + c) * polynomial + first;
          block.sum(sum, c, start.empty() ? nullptr : start.data() + at, out + at, polynomial);
        }
      }
    }
  }
}

}  // namespace capc::gc
