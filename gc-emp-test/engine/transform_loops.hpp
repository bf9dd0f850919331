#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "residue_loops.hpp"

// Transforms and reductions over a vector type V of V::kLanes residues. Each file that includes
// this defines its V in the same unnamed namespace, so that code built for one instruction set is
// never linked into another.
//
// Butterflies are Harvey's ("Faster arithmetic for number-theoretic transforms", Journal of
// Symbolic Computation 60, 2014), with values reduced as late as words of 64 bits allow.
// V::lazy_product may estimate a quotient up to two too small, so that a product is below 4 p where
// Harvey's is below 2 p, and the other bounds double with it: they are below 8 p, less than 2^63.
namespace capc::gc {
namespace {

/// Stages of at most so many coefficients run one after the other, while the first-level cache has
/// them.
constexpr std::size_t kCached = 2048;

/// The prime and its multiples, in every lane.
template <class V>
struct Bounds {
  explicit Bounds(std::uint64_t p) : prime(V::all(p)), two(V::all(2 * p)), four(V::all(4 * p)) {}

  /// Below 8 p, to below 4 p.
  [[nodiscard, gnu::always_inline]] inline V below_four(V x) const { return min(x, x - four); }

  /// Below 8 p, to below p.
  [[nodiscard, gnu::always_inline]] inline V reduced(V x) const {
    x = below_four(x);
    x = min(x, x - two);
    return min(x, x - prime);
  }

  V prime;
  V two;
  V four;
};

template <class V>
struct Factors {
  V value;
  V quotient;
};

template <class V>
[[gnu::always_inline]] inline Factors<V> factors_of(Factor factor) {
  return {V::all(factor.value), V::all(factor.quotient)};
}

/// x, y below 8 p -> x + w y, x - w y, below 8 p.
template <class V>
[[gnu::always_inline]] inline void forward_butterfly(V& x, V& y, const Factors<V>& w,
                                                     const Bounds<V>& bounds) {
  const V product = V::lazy_product(y, w, bounds.prime);
  const V first = bounds.below_four(x);
  x = first + product;
  y = first - product + bounds.four;
}

/// x, y below 4 p -> x + y, (x - y) w, below 4 p.
template <class V>
[[gnu::always_inline]] inline void inverse_butterfly(V& x, V& y, const Factors<V>& w,
                                                     const Bounds<V>& bounds) {
  const V difference = x - y + bounds.four;
  x = bounds.below_four(x + y);
  y = V::lazy_product(difference, w, bounds.prime);
}

/// Applies `butterfly` to the `half` pairs of a group.
template <class V, class Butterfly>
[[gnu::always_inline]] inline void for_pairs(std::uint64_t* group, std::size_t half,
                                             Butterfly butterfly) {
  for (std::size_t j = 0; j < half; j += V::kLanes) {
    V x = V::load(group + j);
    V y = V::load(group + half + j);
    butterfly(x, y);
    x.store(group + j);
    y.store(group + half + j);
  }
}

template <class V>
[[gnu::always_inline]] inline Factors<V> root_of(const TransformView& transform, std::size_t at) {
  return factors_of<V>({transform.roots[at], transform.quotients[at]});
}

/// A stretch of coefficients.
struct Stretch {
  std::size_t first;
  std::size_t size;
};

/// The stages from halves of `half` coefficients down to `last` within a stretch.
template <class V>
void forward_stages(const TransformView& transform, std::uint64_t* values, Stretch stretch,
                    std::size_t half, std::size_t last, const Bounds<V>& bounds) {
  for (; half >= last; half /= 2) {
    const std::size_t stage = transform.degree / (2 * half);
    for (std::size_t at = stretch.first; at < stretch.first + stretch.size; at += 2 * half) {
      const Factors<V> root = root_of<V>(transform, stage + at / (2 * half));
      for_pairs<V>(values + at, half, [&](V& x, V& y) { forward_butterfly(x, y, root, bounds); });
    }
  }
}

/// The other way, from halves of `half` up to `last`.
template <class V>
void inverse_stages(const TransformView& transform, std::uint64_t* values, Stretch stretch,
                    std::size_t half, std::size_t last, const Bounds<V>& bounds) {
  for (; half <= last; half *= 2) {
    const std::size_t stage = transform.degree / (2 * half);
    for (std::size_t at = stretch.first; at < stretch.first + stretch.size; at += 2 * half) {
      const Factors<V> root = root_of<V>(transform, stage + at / (2 * half));
      for_pairs<V>(values + at, half, [&](V& x, V& y) { inverse_butterfly(x, y, root, bounds); });
    }
  }
}

/// The stages whose halves are smaller than a vector are V's own, V::kOwn values of them at a time.
template <class V>
void forward_loop(const TransformView& transform, std::uint64_t* values) {
  const Bounds<V> bounds(transform.prime);
  const std::size_t part = std::min(kCached, transform.degree);
  forward_stages(transform, values, {0, transform.degree}, transform.degree / 2, part, bounds);
  for (std::size_t first = 0; first < transform.degree; first += part) {
    forward_stages(transform, values, {first, part}, part / 2, V::kLanes, bounds);
    for (std::size_t at = first; at < first + part; at += V::kOwn) {
      V::end_forward(transform, values + at, at, bounds);
    }
  }
}

template <class V>
void inverse_loop(const TransformView& transform, std::uint64_t* values) {
  const Bounds<V> bounds(transform.prime);
  const std::size_t half = transform.degree / 2;
  const std::size_t part = std::min(kCached, half);
  for (std::size_t first = 0; first < transform.degree; first += part) {
    for (std::size_t at = first; at < first + part; at += V::kOwn) {
      V::begin_inverse(transform, values + at, at, bounds);
    }
    inverse_stages(transform, values, {first, part}, V::kLanes, part / 2, bounds);
  }
  inverse_stages(transform, values, {0, transform.degree}, part, half / 2, bounds);
  const Factors<V> scale = factors_of<V>(transform.scale);
  const Factors<V> last = factors_of<V>(transform.last_scale);
  for_pairs<V>(values, half, [&](V& x, V& y) {
    const V difference = x - y + bounds.four;
    x = bounds.reduced(V::lazy_product(x + y, scale, bounds.prime));
    y = bounds.reduced(V::lazy_product(difference, last, bounds.prime));
  });
}

/// high 2^64 + low, by a product each, each below 4 p.
template <class V>
void reduce_loop(const Reduction& reduction, const std::uint64_t* low, const std::uint64_t* high,
                 std::size_t size, std::uint64_t* out) {
  const Bounds<V> bounds(reduction.prime);
  const Factors<V> shift = factors_of<V>(reduction.shift);
  const Factors<V> one = factors_of<V>(reduction.one);
  for (std::size_t j = 0; j < size; j += V::kLanes) {
    const std::size_t rest = size - j;
    const V sum = V::lazy_product(V::load(high + j, rest), shift, bounds.prime) +
                  V::lazy_product(V::load(low + j, rest), one, bounds.prime);
    bounds.reduced(sum).store(out + j, rest);
  }
}

}  // namespace
}  // namespace capc::gc
