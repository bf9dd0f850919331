#pragma once

#include <cstddef>
#include <cstdint>

#include "residue_loops.hpp"
#include "transform_loops.hpp"

// The loops of merging over a vector type V, as those of transform_loops.hpp.
namespace capc::gc {
namespace {

template <class V>
void join_loop(const JoinView& join, std::uint64_t* even, const std::uint64_t* odd,
               std::uint64_t* turned) {
  const Bounds<V> bounds(join.prime);
  for (std::size_t first = 0; first < join.degree; first += kTurnedTogether) {
    std::uint64_t differences[kTurnedTogether];
    for (std::size_t k = 0; k < kTurnedTogether; k += V::kLanes) {
      const std::size_t at = first + k;
      const Factors<V> s{V::load(join.monomial + at), V::load(join.quotients + at)};
      const V x = V::load(even + at);
      const V y = V::lazy_product(V::load(odd + at), s, bounds.prime);
      bounds.reduced(x + y).store(even + at);
      bounds.reduced(x - y + bounds.four).store(differences + k);
    }
    const std::size_t turn = first / (join.degree / kTurns);
    V::pick(differences, join.turns + turn * kTurnedTogether, turned + first);
  }
}

template <class V>
void add_loop(std::uint64_t prime, std::uint64_t* x, const std::uint64_t* y, std::size_t size) {
  const V p = V::all(prime);
  for (std::size_t j = 0; j < size; j += V::kLanes) {
    const std::size_t rest = size - j;
    const V sum = V::load(x + j, rest) + V::load(y + j, rest);
    min(sum, sum - p).store(x + j, rest);
  }
}

template <class V>
void shift_loop(const Reduction& reduction, std::uint64_t offset, const std::uint64_t* x,
                std::size_t size, std::uint64_t* out) {
  const Bounds<V> bounds(reduction.prime);
  const Factors<V> one = factors_of<V>(reduction.one);
  const V added = V::all(offset);
  for (std::size_t j = 0; j < size; j += V::kLanes) {
    const std::size_t rest = size - j;
    const V rested = V::lazy_product(V::load(x + j, rest) + added, one, bounds.prime);
    bounds.reduced(rested).store(out + j, rest);
  }
}

template <class V>
void scale_difference_loop(std::uint64_t prime, Factor factor, std::uint64_t* x,
                           const std::uint64_t* y, std::size_t size) {
  const Bounds<V> bounds(prime);
  const Factors<V> scale = factors_of<V>(factor);
  for (std::size_t j = 0; j < size; j += V::kLanes) {
    const std::size_t rest = size - j;
    const V difference = V::load(x + j, rest) - V::load(y + j, rest) + bounds.prime;
    bounds.reduced(V::lazy_product(difference, scale, bounds.prime)).store(x + j, rest);
  }
}

}  // namespace
}  // namespace capc::gc
