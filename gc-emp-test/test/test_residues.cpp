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

void sums(Path path) {
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
  add_products({primes, 2, kDegree, kCount, kTerms, pairs, path}, inputs.data(), weights.data(),
               start, out.data());
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
  constexpr std::size_t kDegree = 3000;
  std::vector<std::uint64_t> out(2 * kPrimes.size() * kDegree);
  expand_residues(ResidueSeed{}, kPrimes, 2, kDegree, out.data());
  for (std::size_t k = 0; k < out.size(); ++k) CHECK(out[k] < kPrimes[k / kDegree % 3]);
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
    for (const capc::gc::Path path : capc::gc::test::supported_paths()) capc::gc::test::sums(path);
    capc::gc::test::bytes();
    capc::gc::test::combinations();
    capc::gc::test::small_numbers();
    capc::gc::test::roundings();
    capc::gc::test::expansion();
  });
}
