// Residues against the plain formulas, at the ends of their ranges.

#include "check.hpp"
#include "errors.hpp"
#include "packed_residues.hpp"
#include "paths.hpp"
#include "residue_numbers.hpp"
#include "residues.hpp"
#include "uniform_residues.hpp"

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
        CHECK(modulus.divide(x).quotient == static_cast<std::uint64_t>(x / prime));
      }
    }
  }
  for (const std::uint64_t bad : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4},
                                  (std::uint64_t{1} << kMaxPrimeBits) + 1}) {
    CHECK_THROWS(UsageError, PrimeModulus{bad});
  }
}

constexpr std::size_t kDegree = 520;  // two blocks and a part of one

void sums(std::size_t components, std::size_t terms, Path path) {
  constexpr std::size_t kCount = 2;
  const auto primes = moduli();
  const auto inputs = random_residues(3 * components, kDegree);
  const auto weights = random_residues(4, kDegree);
  const auto start = random_residues(kCount * components, kDegree);
  std::vector<PolynomialPair> pairs(kCount * terms);
  for (auto& pair : pairs) pair = {rng()() % 3, rng()() % 4};
  std::vector<std::uint64_t> out(start.size());
  add_products({primes, components, kDegree, kCount, terms, pairs, path}, inputs.data(),
               weights.data(), start, out.data());
  for (std::size_t k = 0; k < out.size(); ++k) {
    const std::size_t row = kPrimes.size() * kDegree;
    const std::size_t sum = k / (components * row);
    const std::size_t component = k / row % components;
    const std::uint64_t prime = kPrimes[k / kDegree % kPrimes.size()];
    std::uint64_t total = start[k];
    for (std::size_t term = 0; term < terms; ++term) {
      const auto [input, weight] = pairs[sum * terms + term];
      const DoubleWord product =
          static_cast<DoubleWord>(inputs[(input * components + component) * row + k % row]) *
          weights[weight * row + k % row];
      total = (total + static_cast<std::uint64_t>(product % prime)) % prime;
    }
    CHECK(out[k] == total);
  }
}

/// As many products as are added up at once, of the largest residues that there are.
void largest_sums(Path path) {
  constexpr std::uint64_t kLargest = (std::uint64_t{1} << kMaxPrimeBits) - 1;
  const std::vector<PrimeModulus> primes{PrimeModulus(kLargest)};
  const std::vector<std::uint64_t> residues(kDegree, kLargest - 1);
  const std::vector<PolynomialPair> pairs(kProductsAtOnce);
  std::vector<std::uint64_t> out(kDegree);
  add_products({primes, 1, kDegree, 1, kProductsAtOnce, pairs, path}, residues.data(),
               residues.data(), residues, out.data());
  for (const std::uint64_t x : out) CHECK(x == kProductsAtOnce - 1);  // (-1)^2 each, and -1
}

/// Bytes end where they must, and one bit too many is seen.
void bytes() {
  for (const std::uint64_t prime : kPrimes) {
    for (std::size_t count = 0; count < 9; ++count) {
      std::vector<std::uint64_t> values(count, prime - 1);
      for (std::size_t k = 1; k < count; k += 2) values[k] = rng()() % prime;
      std::vector<std::uint8_t> packed(packed_bytes(prime, count));
      CHECK(packed.size() == (count * nibbles_of(prime) + 1) / 2);
      pack(prime, values, packed.data());
      std::vector<std::uint64_t> found(count);
      CHECK(unpack(prime, packed.data(), found));
      CHECK(found == values);
      if (count % 2 * nibbles_of(prime) % 2 != 0) {
        packed.back() |= 0x10U;  // in what is left of the last byte
        CHECK(!unpack(prime, packed.data(), found));
      }
      packed.assign(packed.size(), 0xffU);
      CHECK(count == 0 || !unpack(prime, packed.data(), found));
    }
  }
}

void combinations() {
  const std::vector<std::uint64_t> words(kMaxCombined * 2, ~std::uint64_t{0});
  for (const std::uint64_t prime : kPrimes) {
    const std::vector<std::uint64_t> factors(kMaxCombined, prime - 1);
    std::vector<std::uint64_t> out(2);
    combine(PrimeModulus(prime), factors, prime - 1, words.data(), out);
    const std::uint64_t word = ~std::uint64_t{0} % prime;  // -7 words - 1
    const DoubleWord minus = static_cast<DoubleWord>(word) * kMaxCombined + 1;
    CHECK((out[0] + minus) % prime == 0);
    CHECK(out[0] == out[1]);
  }
}

void small_numbers() {
  const std::vector<std::uint64_t> words{0, ~std::uint64_t{0}, 0x1fffff, 0x3ffffe00000, 5};
  const std::vector<std::int8_t> expected{0, 0, 21, -21, 2};
  std::vector<std::int8_t> found(words.size());
  binomial(words, 21, found.data());
  CHECK(found == expected);
  for (const std::uint64_t prime : kPrimes) {
    std::vector<std::uint64_t> values{prime - 1, 1, prime - 21, 20, prime - 3};
    add_small(PrimeModulus(prime), found, values.data());
    CHECK((values == std::vector<std::uint64_t>{prime - 1, 1, 0, prime - 1, prime - 1}));
  }
}

/// x = k of q = 3 * 5 * 7: round(2^4 k / 105) mod 2^4.
void roundings() {
  const std::vector<std::uint64_t> primes{3, 5, 7};
  const std::vector<PrimeModulus> moduli(primes.begin(), primes.end());
  const std::vector<std::uint64_t> factors{2, 1, 1};  // of 35, 21 and 15
  for (std::uint64_t k = 0; k < 105; ++k) {
    const std::vector<std::uint64_t> values{k % 3, k % 5, k % 7};
    std::vector<std::uint64_t> out(1);
    rounded_quotients(moduli, factors, 4, values.data(), out);
    CHECK(out[0] == (32 * k + 105) / 210 % 16);
  }
}

/// AES-256 of 0 under the key 0 is dc95c078a2408989 ad48a21492842087.
void expansion() {
  constexpr std::size_t kLength = 3000;
  std::vector<std::uint64_t> out(2 * kPrimes.size() * kLength);
  expand_residues(ResidueSeed{}, kPrimes, 2, kLength, out.data());
  for (std::size_t k = 0; k < out.size(); ++k) CHECK(out[k] < kPrimes[k / kLength % 3]);
  std::vector<std::uint64_t> first(2);
  expand_residues(ResidueSeed{}, std::span(kPrimes).last(1), 1, 2, first.data());
  CHECK(first[0] == 0x098940a278c095dcU);
  CHECK(first[1] == 0x0720849214a248adU);
}

}  // namespace
}  // namespace capc::gc::test

int main() {
  return capc::gc::test::run_tests([] {
    capc::gc::test::reduction();
    for (const capc::gc::Path path : capc::gc::test::supported_paths()) {
      for (const std::size_t components : {1U, 2U, 3U}) {
        for (const std::size_t terms : {std::size_t{1}, capc::gc::kProductsAtOnce + 1}) {
          capc::gc::test::sums(components, terms, path);
        }
      }
      capc::gc::test::largest_sums(path);
    }
    capc::gc::test::bytes();
    capc::gc::test::combinations();
    capc::gc::test::small_numbers();
    capc::gc::test::roundings();
    capc::gc::test::expansion();
  });
}
