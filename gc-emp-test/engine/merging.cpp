#include "merging.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "errors.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kLevels = std::countr_zero(kMostMerged);
static_assert(kMostMerged == kTurnedTogether, "an automorphism moves values within a group");

}  // namespace

struct Merging::Workspace {
  std::vector<std::uint64_t> digits;        // (digits, primes, degree)
  std::vector<std::uint64_t> switched;      // (2, primes, degree)
  std::vector<std::uint64_t> coefficients;  // (2, degree)
  std::vector<PolynomialPair> pairs;        // each digit with its part of the key
};

Merging::Merging(std::size_t degree, const std::vector<std::uint64_t>& primes, Path path)
    : degree_(degree), loops_(&residue_loops_of(path)), path_(path) {
  if (primes.size() < 2) throw UsageError("merging needs a prime of the data and a special one");
  if (degree < kTurns * kTurnedTogether) {
    throw UsageError("polynomials have " + std::to_string(degree) +
                     " coefficients; merging needs " + std::to_string(kTurns * kTurnedTogether) +
                     " or more");
  }
  for (const std::uint64_t prime : primes) {
    transforms_.emplace_back(degree, prime, path);
    moduli_.emplace_back(prime);
  }
  const std::uint64_t special = primes.back();
  for (std::size_t p = 0; p < data_primes(); ++p) {
    const PrimeModulus& modulus = moduli_[p];
    const std::uint64_t rest = modulus.reduce(special);
    if (rest == 0) throw UsageError("the special prime is one of the data's");
    const std::uint64_t half = modulus.reduce(special / 2);
    divisors_.push_back({modulus.factor(rest), modulus.factor(modulus.inverse(rest)),
                         half == 0 ? 0 : modulus.value() - half});
  }
  for (std::size_t level = 0; level < kLevels; ++level) levels_.push_back(level_of(level));
}

Merging::Level Merging::level_of(std::size_t level) const {
  Level found;
  found.monomials.resize(moduli_.size() * degree_);
  found.quotients.resize(found.monomials.size());
  for (std::size_t p = 0; p < moduli_.size(); ++p) {
    std::uint64_t* const row = &found.monomials[p * degree_];
    row[std::size_t{1} << level] = 1;
    transforms_[p].forward(row);
    for (std::size_t j = 0; j < degree_; ++j) {
      found.quotients[p * degree_ + j] = moduli_[p].factor(row[j]).quotient;
    }
  }
  // Entry i is the value at r^(2 b + 1), b having the bits of i in reverse. That of a(f) is the
  // value of f at r^((2 b + 1) e). Only the highest bits of b change, by what its lowest ones are:
  // the lowest bits of i, by what its highest ones are.
  const std::size_t element = (degree_ >> level) + 1;
  for (std::size_t turn = 0; turn < kTurns; ++turn) {
    const std::size_t first = turn * (degree_ / kTurns);
    for (std::size_t k = 0; k < kTurnedTogether; ++k) {
      const std::size_t power = (2 * reversed_bits(first + k, degree_) + 1) * element;
      const std::size_t from = reversed_bits(power % (2 * degree_) / 2, degree_);
      found.turns.push_back(from - first);
    }
  }
  return found;
}

JoinView Merging::view(std::size_t level, std::size_t prime) const {
  const Level& found = levels_[level];
  return {degree_, moduli_[prime].value(), &found.monomials[prime * degree_],
          &found.quotients[prime * degree_], found.turns.data()};
}

void Merging::merge(std::span<const std::uint64_t> sums, std::size_t merged,
                    std::span<const std::uint64_t> keys, std::uint64_t* out) const {
  const std::size_t size = data_primes() * degree_;
  const std::size_t count = sums.size() / (2 * size);
  if (!std::has_single_bit(merged) || merged > kMostMerged) {
    throw UsageError(std::to_string(merged) +
                     " sums are to share a polynomial; allowed are powers "
                     "of two up to " +
                     std::to_string(kMostMerged));
  }
  if (count == 0 || count > merged || sums.size() != count * 2 * size) {
    throw UsageError("there are " + std::to_string(count) + " sums; allowed are 1 to " +
                     std::to_string(merged));
  }
  if (keys.size() < static_cast<std::size_t>(std::countr_zero(merged)) * key_words()) {
    throw UsageError("there are keys for fewer sums than are merged");
  }
  Workspace space;
  space.digits.resize(data_primes() * moduli_.size() * degree_);
  space.switched.resize(2 * moduli_.size() * degree_);
  space.coefficients.resize(2 * degree_);
  for (std::size_t p = 0; p < data_primes(); ++p) space.pairs.push_back({p, p});
  Sum whole = merged_from(sums, 0, 1, merged, keys, space);
  divide(whole.first.data(), space.coefficients.data());
  std::copy_n(whole.first.data(), size, out);
  std::copy_n(whole.second.data(), size, out + size);
}

Merging::Sum Merging::merged_from(std::span<const std::uint64_t> sums, std::size_t first,
                                  std::size_t stride, std::size_t merged,
                                  std::span<const std::uint64_t> keys, Workspace& space) const {
  const std::size_t words = 2 * data_primes() * degree_;
  if (merged == 1) return taken(&sums[first * words]);
  Sum even = merged_from(sums, first, 2 * stride, merged / 2, keys, space);
  if ((first + stride) * words >= sums.size()) {  // nothing lies where the others would
    add(moduli_.size(), even.first.data(), even.first.data());
    add(data_primes(), even.second.data(), even.second.data());
    return even;
  }
  const Sum odd = merged_from(sums, first + stride, 2 * stride, merged / 2, keys, space);
  const auto level = static_cast<std::size_t>(std::countr_zero(stride));
  join(level, even, odd, keys.subspan(level * key_words(), key_words()), space);
  return even;
}

Merging::Sum Merging::taken(const std::uint64_t* sum) const {
  const std::size_t size = data_primes() * degree_;
  Sum found{std::vector<std::uint64_t>(sum, sum + size),
            std::vector<std::uint64_t>(sum + size, sum + 2 * size)};
  found.first.resize(moduli_.size() * degree_);  // P times it is 0 modulo P
  for (std::size_t p = 0; p < data_primes(); ++p) {
    loops_->scale_difference(moduli_[p].value(), divisors_[p].special, &found.first[p * degree_],
                             &found.first[size], degree_);
  }
  return found;
}

void Merging::add(std::size_t primes, std::uint64_t* x, const std::uint64_t* y) const {
  for (std::size_t p = 0; p < primes; ++p) {
    loops_->add(moduli_[p].value(), x + p * degree_, y + p * degree_, degree_);
  }
}

void Merging::join(std::size_t level, Sum& even, const Sum& odd, std::span<const std::uint64_t> key,
                   Workspace& space) const {
  const std::size_t all = moduli_.size() * degree_;
  std::uint64_t* const turned = space.coefficients.data();
  for (std::size_t p = 0; p < moduli_.size(); ++p) {
    std::uint64_t* const row = &even.first[p * degree_];
    loops_->join(view(level, p), row, &odd.first[p * degree_], turned);
    loops_->add(moduli_[p].value(), row, turned, degree_);
  }
  for (std::size_t p = 0; p < data_primes(); ++p) {
    std::uint64_t* const rows = &space.digits[p * all];
    loops_->join(view(level, p), &even.second[p * degree_], &odd.second[p * degree_],
                 rows + p * degree_);
    spread(p, rows, space.coefficients.data());
  }
  std::copy(even.first.begin(), even.first.end(), space.switched.begin());
  std::fill_n(&space.switched[all], all, 0);
  add_products({moduli_, 2, degree_, 1, space.pairs.size(), space.pairs, path_}, key.data(),
               space.digits.data(), space.switched, space.switched.data());
  std::copy_n(space.switched.begin(), all, even.first.begin());
  divide(&space.switched[all], space.coefficients.data());
  add(data_primes(), even.second.data(), &space.switched[all]);
}

void Merging::spread(std::size_t digit, std::uint64_t* rows, std::uint64_t* coefficients) const {
  std::copy_n(rows + digit * degree_, degree_, coefficients);
  transforms_[digit].inverse(coefficients);
  for (std::size_t p = 0; p < moduli_.size(); ++p) {
    if (p == digit) continue;
    std::uint64_t* const row = rows + p * degree_;
    loops_->shift(moduli_[p].reduction(), 0, coefficients, degree_, row);
    transforms_[p].forward(row);
  }
}

void Merging::divide(std::uint64_t* values, std::uint64_t* coefficients) const {
  // With half of P added, a rest rounds down; it is taken away again modulo each prime.
  std::uint64_t* const rest = values + data_primes() * degree_;
  transforms_.back().inverse(rest);
  const PrimeModulus& special = moduli_.back();
  loops_->shift(special.reduction(), special.value() / 2, rest, degree_, rest);
  for (std::size_t p = 0; p < data_primes(); ++p) {
    loops_->shift(moduli_[p].reduction(), divisors_[p].offset, rest, degree_, coefficients);
    transforms_[p].forward(coefficients);
    loops_->scale_difference(moduli_[p].value(), divisors_[p].inverse, values + p * degree_,
                             coefficients, degree_);
  }
}

}  // namespace capc::gc
