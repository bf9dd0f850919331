#pragma once

// Several sums of products in one polynomial of a reply, for switches of keys: capc/he/merging.py
// has the law of it, the keys, and its source.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels.hpp"
#include "residue_loops.hpp"
#include "residues.hpp"
#include "transforms.hpp"

namespace capc::gc {

/// The most sums that one polynomial holds.
inline constexpr std::size_t kMostMerged = 16;

/// Merges ciphertexts of two polynomials in NTT form. No branch and no index depends on residues.
///
/// A level k joins f and g to (f + s g) + a(f - s g), with s = X^(2^k), and a the automorphism
/// X -> X^(degree / 2^k + 1). A key of the level switches what is under a(secret) back. It has, for
/// each prime p of the data, an encryption of P a(secret) modulo p and of 0 modulo the others, with
/// P the special prime: (primes of the data, 2, primes, degree), in NTT form.
///
/// The first polynomials stay times P, modulo all primes, until all is merged. So only they are
/// rounded then, and only the second ones at each switch.
class Merging {
 public:
  /// `primes`: those of the data, then the special one. UsageError unless there are two or more,
  /// each as Transform takes it, and `degree` is 8 kTurnedTogether or more.
  Merging(std::size_t degree, const std::vector<std::uint64_t>& primes, Path path = best_path());

  [[nodiscard]] std::size_t degree() const { return degree_; }
  [[nodiscard]] std::size_t data_primes() const { return moduli_.size() - 1; }

  /// The words of one level's key.
  [[nodiscard]] std::size_t key_words() const {
    return data_primes() * 2 * moduli_.size() * degree_;
  }

  /// `sums` (count, 2, data primes, degree) -> out (2, data primes, degree). What sum i has at
  /// multiples of `merged` comes to lie, `merged` times, at i plus these.
  ///
  /// `keys` are those of levels 0, 1 and on, log2(merged) of them or more. UsageError unless
  /// `merged` is a power of two up to kMostMerged, and `count` from 1 to it.
  void merge(std::span<const std::uint64_t> sums, std::size_t merged,
             std::span<const std::uint64_t> keys, std::uint64_t* out) const;

 private:
  /// The first polynomial times P, modulo all primes; the second modulo those of the data.
  struct Sum {
    std::vector<std::uint64_t> first;
    std::vector<std::uint64_t> second;
  };

  /// What a switch of keys needs besides, kept for the next.
  struct Workspace;

  /// Monomials and the automorphism of one level.
  struct Level {
    std::vector<std::uint64_t> monomials;  // (primes, degree)
    std::vector<std::uint64_t> quotients;
    std::vector<std::uint64_t> turns;  // as JoinView has them
  };

  /// What divides by the special prime, modulo one of the data.
  struct Divisor {
    Factor special;        // P
    Factor inverse;        // 1 / P
    std::uint64_t offset;  // -(P - 1) / 2
  };

  [[nodiscard]] Level level_of(std::size_t level) const;
  [[nodiscard]] JoinView view(std::size_t level, std::size_t prime) const;

  /// Sums number `first`, `first` + `stride` and on, which take a join of `level` at the end.
  [[nodiscard]] Sum merged_from(std::span<const std::uint64_t> sums, std::size_t first,
                                std::size_t stride, std::size_t merged,
                                std::span<const std::uint64_t> keys, Workspace& space) const;
  [[nodiscard]] Sum taken(const std::uint64_t* sum) const;
  void join(std::size_t level, Sum& even, const Sum& odd, std::span<const std::uint64_t> key,
            Workspace& space) const;
  /// x += y, modulo the first `primes` of the primes.
  void add(std::size_t primes, std::uint64_t* x, const std::uint64_t* y) const;

  /// Row `digit` of digit `digit` is there, in NTT form: the others.
  void spread(std::size_t digit, std::uint64_t* rows, std::uint64_t* coefficients) const;

  /// round(values / P), in the first rows of `values` (primes, degree); the last is used up.
  void divide(std::uint64_t* values, std::uint64_t* coefficients) const;

  std::size_t degree_;
  const ResidueLoops* loops_;
  Path path_;
  std::vector<PrimeModulus> moduli_;
  std::vector<Transform> transforms_;
  std::vector<Divisor> divisors_;
  std::vector<Level> levels_;
};

}  // namespace capc::gc
