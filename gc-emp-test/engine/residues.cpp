#include "residues.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "errors.hpp"

namespace capc::gc {
namespace {

// The sums of a block, and the parts of the inputs that a sum reads, stay in the cache.
constexpr std::size_t kBlock = 512;

const ResidueLoops& loops_for(std::uint64_t prime, Path path) {
  const ResidueLoops& loops = residue_loops_of(path);
  return prime >> (loops.max_bits - 1) < 2 ? loops : portable_residue_loops();
}

/// One component of one sum modulo one prime, at the coefficients of one block.
class SumsOfBlock {
 public:
  SumsOfBlock(const ProductSums& sums, const std::uint64_t* inputs, const std::uint64_t* weights,
              std::size_t prime, std::size_t first)
      : sums_(sums),
        reduction_(sums.moduli[prime].reduction()),
        loops_(loops_for(reduction_.prime, sums.path)),
        inputs_(inputs + prime * sums.degree + first),
        weights_(weights + prime * sums.degree + first),
        size_(std::min(kBlock, sums.degree - first)) {}

  /// `start` may be null, for zeros.
  void sum(std::span<const PolynomialPair> pairs, std::size_t component, const std::uint64_t* start,
           std::uint64_t* out) {
    for (std::size_t j = 0; j < size_; ++j) low_[j] = start == nullptr ? 0 : start[j];
    high_.fill(0);
    for (std::size_t first = 0; first < pairs.size(); first += kProductsAtOnce) {
      if (first != 0) {
        reduce(low_.data());
        high_.fill(0);
      }
      add(pairs.subspan(first, std::min(kProductsAtOnce, pairs.size() - first)), component);
    }
    reduce(out);
  }

 private:
  [[nodiscard]] const std::uint64_t* input(const PolynomialPair& pair,
                                           std::size_t component) const {
    const std::size_t polynomial = pair.input * sums_.components + component;
    return inputs_ + polynomial * sums_.moduli.size() * sums_.degree;
  }

  [[nodiscard]] const std::uint64_t* weight(const PolynomialPair& pair) const {
    return weights_ + pair.weight * sums_.moduli.size() * sums_.degree;
  }

  /// Up to kProductsAtOnce products.
  void add(std::span<const PolynomialPair> pairs, std::size_t component) {
    for (std::size_t k = 0; k < pairs.size(); ++k) {
      chosen_inputs_[k] = input(pairs[k], component);
      chosen_weights_[k] = weight(pairs[k]);
    }
    loops_.add_products({chosen_inputs_.data(), chosen_weights_.data(), pairs.size()}, size_,
                        low_.data(), high_.data());
  }

  void reduce(std::uint64_t* out) const {
    loops_.reduce(reduction_, low_.data(), high_.data(), size_, out);
  }

  const ProductSums& sums_;
  Reduction reduction_;
  const ResidueLoops& loops_;
  const std::uint64_t* inputs_;
  const std::uint64_t* weights_;
  std::size_t size_;
  std::array<std::uint64_t, kBlock> low_{};
  std::array<std::uint64_t, kBlock> high_{};
  std::array<const std::uint64_t*, kProductsAtOnce> chosen_inputs_{};
  std::array<const std::uint64_t*, kProductsAtOnce> chosen_weights_{};
};

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

Factor PrimeModulus::factor(std::uint64_t value) const {
  return {value, static_cast<std::uint64_t>((static_cast<DoubleWord>(value) << 64U) / prime_)};
}

Reduction PrimeModulus::reduction() const {
  return {prime_, factor(reduce(DoubleWord{1} << 64U)), factor(1)};
}

void add_products(const ProductSums& sums, const std::uint64_t* inputs,
                  const std::uint64_t* weights, std::span<const std::uint64_t> start,
                  std::uint64_t* out) {
  for (std::size_t prime = 0; prime < sums.moduli.size(); ++prime) {
    for (std::size_t first = 0; first < sums.degree; first += kBlock) {
      SumsOfBlock block(sums, inputs, weights, prime, first);
      for (std::size_t place = 0; place < sums.count * sums.components; ++place) {
        const std::size_t at = (place * sums.moduli.size() + prime) * sums.degree + first;
        block.sum(sums.pairs.subspan(place / sums.components * sums.terms, sums.terms),
                  place % sums.components, start.empty() ? nullptr : start.data() + at, out + at);
      }
    }
  }
}

}  // namespace capc::gc
