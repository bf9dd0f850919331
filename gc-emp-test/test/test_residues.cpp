// Sums of products of residues against the plain formula, at the ends of their ranges.

#include "check.hpp"
#include "errors.hpp"
#include "residues.hpp"

namespace capc::gc::test {
namespace {

const std::vector<std::uint64_t> kPrimes{1152921504606748673U, 40961U,
                                         (std::uint64_t{1} << 61U) - 1};

std::vector<PrimeModulus> moduli() { return {kPrimes.begin(), kPrimes.end()}; }

std::vector<std::uint64_t> random_residues(std::size_t polynomials, std::size_t degree) {
  std::vector<std::uint64_t> values = random_words(polynomials * kPrimes.size() * degree);
  for (std::size_t k = 0; k < values.size(); ++k) values[k] %= kPrimes[k / degree % kPrimes.size()];
  return values;
}

void reduction() {
  for (const std::uint64_t prime : kPrimes) {
    const PrimeModulus modulus(prime);
    CHECK(modulus.value() == prime);
    for (int repeat = 0; repeat < 2000; ++repeat) {
      const DoubleWord multiple = ~DoubleWord{0} / prime / (rng()() | 1U) * prime;
      for (const DoubleWord x : {multiple - 1, multiple, multiple + 1, ~multiple}) {
        CHECK(modulus.reduce(x) == static_cast<std::uint64_t>(x % prime));
      }
    }
  }
  for (const std::uint64_t bad : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4},
                                  (std::uint64_t{1} << kMaxPrimeBits) + 1}) {
    CHECK_THROWS(UsageError, PrimeModulus{bad});
  }
}

void sums() {
  constexpr std::size_t kDegree = 520;  // a block and a part of one
  constexpr std::size_t kCount = 2;
  constexpr std::size_t kTerms = kProductsAtOnce + 1;
  const auto primes = moduli();
  const auto inputs = random_residues(6, kDegree);
  const auto weights = random_residues(4, kDegree);
  const auto start = random_residues(kCount * 2, kDegree);
  std::vector<PolynomialPair> pairs(kCount * kTerms);
  for (auto& pair : pairs) pair = {rng()() % 3, rng()() % 4};
  std::vector<std::uint64_t> out(start.size());
  add_products({primes, 2, kDegree, kCount, kTerms, pairs}, inputs.data(), weights.data(), start,
               out.data());
  for (std::size_t k = 0; k < out.size(); ++k) {
    const std::size_t row = kPrimes.size() * kDegree;
    const std::size_t sum = k / (2 * row);
    const std::size_t component = k / row % 2;
    const std::uint64_t prime = kPrimes[k / kDegree % kPrimes.size()];
    std::uint64_t total = start[k];
    for (std::size_t term = 0; term < kTerms; ++term) {
      const auto [input, weight] = pairs[sum * kTerms + term];
      const DoubleWord product =
          static_cast<DoubleWord>(inputs[(input * 2 + component) * row + k % row]) *
          weights[weight * row + k % row];
      total = (total + static_cast<std::uint64_t>(product % prime)) % prime;
    }
    CHECK(out[k] == total);
  }
}

}  // namespace
}  // namespace capc::gc::test

int main() {
  return capc::gc::test::run_tests([] {
    capc::gc::test::reduction();
    capc::gc::test::sums();
  });
}
