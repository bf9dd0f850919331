// Built with AVX-512 F, DQ and IFMA, and run only on the path whose processors have all of them.

#include <immintrin.h>

#include "merging_loops.hpp"
#include "transform_loops.hpp"

namespace capc::gc {
namespace {

/// Eight residues.
struct Lanes {
  static constexpr std::size_t kLanes = 8;
  static constexpr std::size_t kOwn = 2 * kLanes;

  static Lanes all(std::uint64_t x) { return {_mm512_set1_epi64(static_cast<std::int64_t>(x))}; }
  static Lanes load(const std::uint64_t* from) { return {_mm512_loadu_si512(from)}; }
  void store(std::uint64_t* to) const { _mm512_storeu_si512(to, v); }

  /// The first `rest` lanes, where there are fewer than eight.
  static Lanes load(const std::uint64_t* from, std::size_t rest) {
    return {_mm512_maskz_loadu_epi64(first(rest), from)};
  }
  void store(std::uint64_t* to, std::size_t rest) const {
    _mm512_mask_storeu_epi64(to, first(rest), v);
  }
  static __mmask8 first(std::size_t rest) {
    return static_cast<__mmask8>(rest < kLanes ? (1U << rest) - 1U : 0xffU);
  }

  friend Lanes operator+(Lanes x, Lanes y) { return {_mm512_add_epi64(x.v, y.v)}; }
  friend Lanes operator-(Lanes x, Lanes y) { return {_mm512_sub_epi64(x.v, y.v)}; }
  friend Lanes min(Lanes x, Lanes y) { return {_mm512_min_epu64(x.v, y.v)}; }

  /// x w modulo p for any x, below 4 p. The quotient's estimate leaves out the product of both low
  /// halves and two carries: it is Shoup's or up to two less.
  [[gnu::always_inline]] static Lanes lazy_product(Lanes x, const Factors<Lanes>& w, Lanes prime) {
    const __m512i high = _mm512_srli_epi64(x.v, 32);
    const __m512i wide = _mm512_srli_epi64(w.quotient.v, 32);
    const __m512i first = _mm512_srli_epi64(_mm512_mul_epu32(x.v, wide), 32);
    const __m512i second = _mm512_srli_epi64(_mm512_mul_epu32(high, w.quotient.v), 32);
    const __m512i quotient =
        _mm512_add_epi64(_mm512_add_epi64(_mm512_mul_epu32(high, wide), first), second);
    return {_mm512_sub_epi64(_mm512_mullo_epi64(x.v, w.value.v),
                             _mm512_mullo_epi64(quotient, prime.v))};
  }

  /// The stages of halves 4, 2 and 1 on 16 values, from `at` on.
  [[gnu::always_inline]] static void end_forward(const TransformView& transform,
                                                 std::uint64_t* values, std::size_t at,
                                                 const Bounds<Lanes>& bounds) {
    const Lanes low = load(values);
    const Lanes high = load(values + kLanes);
    Lanes x{_mm512_shuffle_i64x2(low.v, high.v, 0x44)};
    Lanes y{_mm512_shuffle_i64x2(low.v, high.v, 0xee)};
    forward_butterfly(x, y, roots_of<4>(transform, at), bounds);
    swap_pairs(x, y);
    forward_butterfly(x, y, roots_of<2>(transform, at), bounds);
    swap_neighbours(x, y);
    forward_butterfly(x, y, roots_of<1>(transform, at), bounds);
    swap_neighbours(x, y);
    x = bounds.reduced(x);
    y = bounds.reduced(y);
    select<0, 1, 8, 9, 2, 3, 10, 11>(x, y).store(values);
    select<4, 5, 12, 13, 6, 7, 14, 15>(x, y).store(values + kLanes);
  }

  /// The same stages of the inverse.
  [[gnu::always_inline]] static void begin_inverse(const TransformView& transform,
                                                   std::uint64_t* values, std::size_t at,
                                                   const Bounds<Lanes>& bounds) {
    const Lanes low = load(values);
    const Lanes high = load(values + kLanes);
    Lanes x = select<0, 1, 4, 5, 8, 9, 12, 13>(low, high);
    Lanes y = select<2, 3, 6, 7, 10, 11, 14, 15>(low, high);
    swap_neighbours(x, y);
    inverse_butterfly(x, y, roots_of<1>(transform, at), bounds);
    swap_neighbours(x, y);
    inverse_butterfly(x, y, roots_of<2>(transform, at), bounds);
    swap_pairs(x, y);
    inverse_butterfly(x, y, roots_of<4>(transform, at), bounds);
    Lanes{_mm512_shuffle_i64x2(x.v, y.v, 0x44)}.store(values);
    Lanes{_mm512_shuffle_i64x2(x.v, y.v, 0xee)}.store(values + kLanes);
  }

  /// Of 16 values, those at `places`, in the order of these.
  [[gnu::always_inline]] static void pick(const std::uint64_t* from, const std::uint64_t* places,
                                          std::uint64_t* to) {
    const Lanes low = load(from);
    const Lanes high = load(from + kLanes);
    for (std::size_t k = 0; k < kOwn; k += kLanes) {
      Lanes{_mm512_permutex2var_epi64(low.v, load(places + k).v, high.v)}.store(to + k);
    }
  }

  __m512i v;

 private:
  template <int a, int b, int c, int d, int e, int f, int g, int h>
  [[gnu::always_inline]] static Lanes select(Lanes x, Lanes y) {
    return {_mm512_permutex2var_epi64(x.v, _mm512_setr_epi64(a, b, c, d, e, f, g, h), y.v)};
  }

  /// (x0 x1 x2 x3 ...), (y0 y1 y2 y3 ...) -> (x0 x1 y0 y1 ...), (x2 x3 y2 y3 ...), and back.
  [[gnu::always_inline]] static void swap_pairs(Lanes& x, Lanes& y) {
    const Lanes first = select<0, 1, 8, 9, 4, 5, 12, 13>(x, y);
    y = select<2, 3, 10, 11, 6, 7, 14, 15>(x, y);
    x = first;
  }

  /// (x0 x1 ...), (y0 y1 ...) -> (x0 y0 ...), (x1 y1 ...), and back.
  [[gnu::always_inline]] static void swap_neighbours(Lanes& x, Lanes& y) {
    const __m512i first = _mm512_unpacklo_epi64(x.v, y.v);
    y.v = _mm512_unpackhi_epi64(x.v, y.v);
    x.v = first;
  }

  /// Those of the groups of halves `half` among the 16 values from `at` on, each in `half` lanes.
  template <std::size_t half>
  [[gnu::always_inline]] static Factors<Lanes> roots_of(const TransformView& transform,
                                                        std::size_t at) {
    const std::size_t first = (transform.degree + at) / (2 * half);
    constexpr std::int64_t k = half;
    constexpr __mmask8 kGroups = (1U << (kLanes / half)) - 1U;
    const __m512i places = _mm512_setr_epi64(0, 1 / k, 2 / k, 3 / k, 4 / k, 5 / k, 6 / k, 7 / k);
    const __m512i roots = _mm512_maskz_loadu_epi64(kGroups, transform.roots + first);
    const __m512i quotients = _mm512_maskz_loadu_epi64(kGroups, transform.quotients + first);
    return {{_mm512_permutexvar_epi64(places, roots)},
            {_mm512_permutexvar_epi64(places, quotients)}};
  }
};

/// Sums of products of numbers in digits of 52 bits, the upper one of a few: in units of 1, 2^52
/// and 2^104. Each part of a product is below 2^52, so that thousands of them fit. Those of one
/// unit are added up in several sums, so that none waits for the one before.
struct DigitSums {
  [[gnu::always_inline]] void add_product(__m512i x, __m512i w, __m512i w_high) {
    const __m512i x_high = _mm512_srli_epi64(x, kDigitBits);
    ones = _mm512_madd52lo_epu64(ones, x, w);
    middle[0] = _mm512_madd52hi_epu64(middle[0], x, w);
    middle[1] = _mm512_madd52lo_epu64(middle[1], x, w_high);
    middle[2] = _mm512_madd52lo_epu64(middle[2], x_high, w);
    high[0] = _mm512_madd52hi_epu64(high[0], x, w_high);
    high[1] = _mm512_madd52hi_epu64(high[1], x_high, w);
    high[2] = _mm512_madd52lo_epu64(high[2], x_high, w_high);
  }

  /// Adds the sum to numbers of 128 bits, which hold it, in two halves.
  [[gnu::always_inline]] void add_to(__m512i& low_half, __m512i& high_half) const {
    const __m512i middles = sum(middle);
    add(ones, low_half, high_half);
    add(_mm512_slli_epi64(middles, kDigitBits), low_half, high_half);
    high_half = _mm512_add_epi64(high_half, _mm512_srli_epi64(middles, 64 - kDigitBits));
    high_half = _mm512_add_epi64(high_half, _mm512_slli_epi64(sum(high), 2 * kDigitBits - 64));
  }

  static constexpr unsigned kDigitBits = 52;
  __m512i ones = _mm512_setzero_si512();
  __m512i middle[3] = {ones, ones, ones};
  __m512i high[3] = {ones, ones, ones};

 private:
  [[gnu::always_inline]] static __m512i sum(const __m512i (&x)[3]) {
    return _mm512_add_epi64(_mm512_add_epi64(x[0], x[1]), x[2]);
  }

  [[gnu::always_inline]] static void add(__m512i x, __m512i& low_half, __m512i& high_half) {
    low_half = _mm512_add_epi64(low_half, x);
    const __mmask8 carries = _mm512_cmplt_epu64_mask(low_half, x);
    high_half = _mm512_mask_sub_epi64(high_half, carries, high_half, _mm512_set1_epi64(-1));
  }
};

template <std::size_t components>
void add_products_of(const Terms& terms, std::size_t size, std::uint64_t* low,
                     std::uint64_t* high) {
  for (std::size_t at = 0; at < size; at += Lanes::kLanes) {
    const __mmask8 mask = Lanes::first(size - at);
    DigitSums sums[components];
    for (std::size_t k = 0; k < terms.count; ++k) {
      const __m512i w = _mm512_maskz_loadu_epi64(mask, terms.weights[k] + at);
      _mm_prefetch(reinterpret_cast<const char*>(terms.coming[k] + at), _MM_HINT_T1);
      const __m512i w_high = _mm512_srli_epi64(w, DigitSums::kDigitBits);
#pragma GCC unroll 2
      for (std::size_t c = 0; c < components; ++c) {
        const std::uint64_t* const x = terms.inputs[k] + c * terms.apart + at;
        sums[c].add_product(_mm512_maskz_loadu_epi64(mask, x), w, w_high);
      }
    }
#pragma GCC unroll 2
    for (std::size_t c = 0; c < components; ++c) {
      std::uint64_t* const low_at = low + c * size + at;
      std::uint64_t* const high_at = high + c * size + at;
      __m512i low_half = _mm512_maskz_loadu_epi64(mask, low_at);
      __m512i high_half = _mm512_maskz_loadu_epi64(mask, high_at);
      sums[c].add_to(low_half, high_half);
      _mm512_mask_storeu_epi64(low_at, mask, low_half);
      _mm512_mask_storeu_epi64(high_at, mask, high_half);
    }
  }
}

void add_products_loop(const Terms& terms, std::size_t size, std::uint64_t* low,
                       std::uint64_t* high) {
  if (terms.components == 2) return add_products_of<2>(terms, size, low, high);
  add_products_of<1>(terms, size, low, high);
}

}  // namespace

const ResidueLoops& avx512_residue_loops() {
  static constexpr ResidueLoops kLoops{
      forward_loop<Lanes>, inverse_loop<Lanes>, reduce_loop<Lanes>, add_products_loop,
      join_loop<Lanes>,    add_loop<Lanes>,     shift_loop<Lanes>,  scale_difference_loop<Lanes>};
  return kLoops;
}

}  // namespace capc::gc
