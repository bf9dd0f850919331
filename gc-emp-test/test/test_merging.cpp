// Merging on every path against the definition: phases under a known secret, with keys whose errors
// are at most one.

#include <algorithm>
#include <string>

#include "check.hpp"
#include "errors.hpp"
#include "merging.hpp"
#include "paths.hpp"

namespace capc::gc::test {
namespace {

using Polynomial = std::vector<std::uint64_t>;

struct Case {
  std::size_t degree;
  std::vector<std::uint64_t> primes;  // the last one is special
};

const std::vector<Case> kCases{
    {128, {1152921504606844417U, 1152921504606827009U, 1152921504606830593U}},
    {1024, {1152921504606830593U, 1152921504606748673U}},
    {256, {12289, 786433, 1152921504606748673U}}};

/// Arithmetic modulo one of the primes, by the plain formulas.
class Plain {
 public:
  Plain(std::size_t degree, std::uint64_t prime)
      : prime_(prime), transform_(degree, prime, Path::Portable) {}

  [[nodiscard]] std::uint64_t multiply(std::uint64_t x, std::uint64_t y) const {
    return static_cast<std::uint64_t>(static_cast<DoubleWord>(x) * y % prime_);
  }

  [[nodiscard]] Polynomial uniform(std::size_t degree) const {
    Polynomial values = random_words(degree);
    for (auto& value : values) value = value % 7 == 0 ? prime_ - 1 : value % prime_;
    return values;
  }

  /// x y + z, all in NTT form.
  [[nodiscard]] Polynomial multiplied(const Polynomial& x, const Polynomial& y,
                                      const Polynomial& z) const {
    Polynomial found(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) found[j] = (multiply(x[j], y[j]) + z[j]) % prime_;
    return found;
  }

  [[nodiscard]] Polynomial times(std::uint64_t factor, Polynomial x) const {
    for (auto& value : x) value = multiply(factor % prime_, value);
    return x;
  }

  [[nodiscard]] Polynomial in_ntt_form(Polynomial values) const {
    transform_.forward(values.data());
    return values;
  }

  [[nodiscard]] Polynomial coefficients(Polynomial values) const {
    transform_.inverse(values.data());
    return values;
  }

  /// Modulo the prime, of numbers in {-1, 0, 1}.
  [[nodiscard]] Polynomial residues(const std::vector<int>& small) const {
    Polynomial found(small.size());
    std::transform(small.begin(), small.end(), found.begin(),
                   [&](int x) { return x < 0 ? prime_ - 1 : static_cast<std::uint64_t>(x); });
    return found;
  }

  [[nodiscard]] std::uint64_t prime() const { return prime_; }

 private:
  std::uint64_t prime_;
  Transform transform_;
};

/// The polynomial under X -> X^element.
std::vector<int> turned(const std::vector<int>& polynomial, std::size_t element) {
  const std::size_t degree = polynomial.size();
  std::vector<int> found(degree);
  for (std::size_t j = 0; j < degree; ++j) {
    const std::size_t place = j * element % (2 * degree);
    found[place % degree] = place < degree ? polynomial[j] : -polynomial[j];
  }
  return found;
}

void append(Polynomial& to, const Polynomial& row) { to.insert(to.end(), row.begin(), row.end()); }

/// Numbers in {-1, 0, 1}.
std::vector<int> ternary(std::size_t count) {
  std::vector<int> found(count);
  for (auto& x : found) x = static_cast<int>(rng()() % 3) - 1;
  return found;
}

/// A secret, and keys for it.
class Party {
 public:
  explicit Party(const Case& c) : secret_(ternary(c.degree)) {
    for (const std::uint64_t prime : c.primes) plain_.emplace_back(c.degree, prime);
  }

  [[nodiscard]] std::size_t data_primes() const { return plain_.size() - 1; }
  [[nodiscard]] const Plain& plain(std::size_t prime) const { return plain_[prime]; }

  [[nodiscard]] Polynomial key(std::size_t element) const {
    const std::vector<int> under = turned(secret_, element);
    Polynomial key;
    for (std::size_t part = 0; part < data_primes(); ++part) {
      Polynomial first;
      Polynomial second;
      const std::vector<int> errors = ternary(secret_.size());
      for (std::size_t p = 0; p < plain_.size(); ++p) {
        const Plain& plain = plain_[p];
        const Polynomial uniform = plain.uniform(secret_.size());
        Polynomial value = plain.in_ntt_form(plain.residues(errors));
        if (p == part) {
          const Polynomial image = plain.in_ntt_form(plain.residues(under));
          const Polynomial one(secret_.size(), 1);
          value = plain.multiplied(plain.times(plain_.back().prime(), image), one, value);
        }
        const Polynomial negated = plain.times(plain.prime() - 1, uniform);
        append(first, plain.multiplied(negated, secret(p), value));
        append(second, uniform);
      }
      append(key, first);
      append(key, second);
    }
    return key;
  }

  /// c0 + c1 s modulo a prime of the data, of (2, data primes, degree), as coefficients.
  [[nodiscard]] Polynomial phase(const std::uint64_t* sum, std::size_t prime) const {
    const std::size_t degree = secret_.size();
    const std::uint64_t* const row = sum + prime * degree;
    const Polynomial first(row, row + degree);
    const Polynomial second(row + data_primes() * degree, row + (data_primes() + 1) * degree);
    return plain_[prime].coefficients(plain_[prime].multiplied(second, secret(prime), first));
  }

 private:
  [[nodiscard]] Polynomial secret(std::size_t prime) const {
    return plain_[prime].in_ntt_form(plain_[prime].residues(secret_));
  }

  std::vector<int> secret_;
  std::vector<Plain> plain_;
};

/// Of x modulo the prime, from -prime / 2 on.
std::int64_t centred(std::uint64_t x, std::uint64_t prime) {
  return static_cast<std::int64_t>(x) - (x > prime / 2 ? static_cast<std::int64_t>(prime) : 0);
}

Polynomial random_sums(const Party& party, std::size_t degree, std::size_t count) {
  Polynomial sums;
  for (std::size_t k = 0; k < 2 * count; ++k) {
    for (std::size_t p = 0; p < party.data_primes(); ++p) {
      append(sums, party.plain(p).uniform(degree));
    }
  }
  return sums;
}

/// Phases of what is merged against those of the sums; the rest is noise, the same modulo each
/// prime.
void check_phases(const Case& c, const Party& party, const Polynomial& sums, std::size_t merged,
                  const Polynomial& out) {
  const std::size_t words = 2 * party.data_primes() * c.degree;
  // A rounding of the second polynomial is below 1/2 a coefficient, times the secret; one of the
  // first below 1/2. A digit is below its prime, which is not above the special one. Later merges
  // double what earlier ones added.
  const std::size_t of_one = c.degree / 2 + party.data_primes() * c.degree;
  const auto bound = static_cast<std::int64_t>((merged - 1) * of_one + 1);
  for (std::size_t place = 0; place * words < sums.size(); ++place) {
    std::vector<std::int64_t> first_rests;
    for (std::size_t p = 0; p < party.data_primes(); ++p) {
      const std::uint64_t prime = party.plain(p).prime();
      const Polynomial found = party.phase(out.data(), p);
      const Polynomial wanted = party.phase(&sums[place * words], p);
      std::vector<std::int64_t> rests;
      for (std::size_t j = 0; j < c.degree; j += merged) {
        const std::uint64_t value = party.plain(p).multiply(merged, wanted[j]);
        rests.push_back(centred((found[j + place] + prime - value) % prime, prime));
      }
      if (static_cast<std::uint64_t>(2 * bound) >= prime) continue;  // wraps
      for (const std::int64_t rest : rests) CHECK(rest >= -bound && rest <= bound);
      if (p > 0 && !first_rests.empty()) CHECK(rests == first_rests);
      first_rests = rests;
    }
  }
}

void merges() {
  for (const Case& c : kCases) {
    const Party party(c);
    Polynomial keys;
    for (std::size_t level = 0; level < 4; ++level) {
      append(keys, party.key((c.degree >> level) + 1));
    }
    for (std::size_t merged = 1; merged <= kMostMerged; merged *= 2) {
      for (const std::size_t count :
           {merged, merged - merged / 4, merged / 2 + 1, std::size_t{1}}) {
        if (count > merged) continue;
        const Polynomial sums = random_sums(party, c.degree, count);
        Polynomial on_first_path;
        for (const Path path : supported_paths()) {
          const Merging merging(c.degree, c.primes, path);
          CHECK(keys.size() == 4 * merging.key_words());
          Polynomial out(2 * party.data_primes() * c.degree);
          merging.merge(sums, merged, keys, out.data());
          if (on_first_path.empty()) on_first_path = out;
          CHECK(out == on_first_path);
        }
        check_phases(c, party, sums, merged, on_first_path);
      }
    }
  }
}

/// A key for another automorphism gives noise as large as the prime.
void keys_count() {
  const Case& c = kCases[0];
  const Party party(c);
  const Merging merging(c.degree, c.primes);
  const Polynomial sums = random_sums(party, c.degree, 2);
  const std::size_t size = 2 * party.data_primes() * c.degree;
  const std::uint64_t prime = party.plain(0).prime();
  std::int64_t largest = 0;
  Polynomial out(size);
  merging.merge(sums, 2, party.key(c.degree / 2 + 1), out.data());
  const Polynomial found = party.phase(out.data(), 0);
  const Polynomial wanted = party.phase(sums.data(), 0);
  for (std::size_t j = 0; j < c.degree; j += 2) {
    const std::uint64_t value = party.plain(0).multiply(2, wanted[j]);
    const std::int64_t rest = centred((found[j] + prime - value) % prime, prime);
    largest = std::max(largest, rest < 0 ? -rest : rest);
  }
  CHECK(largest > static_cast<std::int64_t>(prime >> 8U));
}

void misuse() {
  const Case& c = kCases[0];
  const Merging merging(c.degree, c.primes);
  const std::size_t size = 2 * merging.data_primes() * c.degree;
  Polynomial sums(3 * size);
  Polynomial keys(4 * merging.key_words());
  Polynomial out(size);
  const auto merge = [&](std::size_t words, std::size_t merged, std::size_t levels) {
    merging.merge(std::span(sums).first(words), merged,
                  std::span(keys).first(levels * merging.key_words()), out.data());
  };
  merge(3 * size, 4, 2);
  CHECK_THROWS(UsageError, merge(3 * size, 3, 2));
  CHECK_THROWS(UsageError, merge(3 * size, 32, 4));
  CHECK_THROWS(UsageError, merge(3 * size, 2, 2));
  CHECK_THROWS(UsageError, merge(3 * size - 1, 4, 2));
  CHECK_THROWS(UsageError, merge(0, 4, 2));
  CHECK_THROWS(UsageError, merge(3 * size, 4, 1));
  CHECK_THROWS(UsageError, Merging(c.degree, {c.primes[0]}));
  CHECK_THROWS(UsageError, Merging(64, {12289, 786433}));
  CHECK_THROWS(UsageError, Merging(c.degree, {c.primes[0], c.primes[0]}));
}

}  // namespace
}  // namespace capc::gc::test

int main() {
  using namespace capc::gc::test;
  return run_tests([] {
    merges();
    keys_count();
    misuse();
  });
}
