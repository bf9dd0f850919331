#include <immintrin.h>

#include "kernels_paths.hpp"
#include "make_kernels.hpp"

namespace capc::gc {
namespace {

/// One block in an SSE register.
struct V128 {
  static constexpr std::size_t kBlocks = 1;
  __m128i x;

  static V128 zero() { return {_mm_setzero_si128()}; }
  static V128 broadcast(Block b) { return load(&b); }
  static V128 load(const Block* p) { return {_mm_load_si128(reinterpret_cast<const __m128i*>(p))}; }
  static void xor_block(const Block* a, const Block* b, Block* out) {
    (load(a) ^ load(b)).store(out);
  }
  /// The block at a place.
  static V128 picked(const Block* blocks, const std::uint32_t* places, std::size_t /*apart*/) {
    return load(&blocks[*places]);
  }
  static V128 load_bytes(const std::uint8_t* p, std::size_t) {
    return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))};
  }
  /// A bit of the lower half of each of so many blocks.
  static constexpr std::size_t kLowBlocks = 2;
  static std::uint64_t low_bits(const Block* p, std::size_t bit) {
    const __m128i halves = _mm_unpacklo_epi64(load(p).x, load(p + 1).x);
    const __m128i highest = _mm_sll_epi64(halves, _mm_cvtsi64_si128(63 - static_cast<int>(bit)));
    return static_cast<std::uint64_t>(_mm_movemask_pd(_mm_castsi128_pd(highest)));
  }
  void store(Block* p) const { _mm_store_si128(reinterpret_cast<__m128i*>(p), x); }
  void store_bytes(std::uint8_t* p, std::size_t) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x);
  }
  static V128 tweaks(std::uint64_t first) { return counters(first); }
  static V128 counters(std::uint64_t first) {
    return {_mm_set_epi64x(0, static_cast<long long>(first))};
  }
  static V128 round_constant(std::uint8_t c) { return {_mm_set1_epi32(c)}; }

  friend V128 operator^(V128 a, V128 b) { return {_mm_xor_si128(a.x, b.x)}; }
  friend V128 operator&(V128 a, V128 b) { return {_mm_and_si128(a.x, b.x)}; }
  /// Zero but for the first blocks; there is one.
  [[nodiscard]] V128 first_of(std::size_t) const { return *this; }
  /// `value` for block `place` of an array of which this is block `first`, without a branch.
  [[nodiscard]] V128 with_place(std::uint64_t first, std::uint64_t place, V128 value) const {
    const __m128i same = _mm_cmpeq_epi64(_mm_set1_epi64x(static_cast<long long>(first)),
                                         _mm_set1_epi64x(static_cast<long long>(place)));
    return {_mm_blendv_epi8(x, value.x, same)};
  }
  /// Each number of 32 bits times `factor`, without the product's lower 32 bits.
  [[nodiscard]] V128 scaled(std::uint32_t factor) const {
    const __m128i by = _mm_set1_epi64x(factor);
    const __m128i even = _mm_srli_epi64(_mm_mul_epu32(x, by), 32);
    const __m128i odd = _mm_mul_epu32(_mm_srli_epi64(x, 32), by);
    return {_mm_blend_epi16(even, odd, 0xcc)};
  }
  [[nodiscard]] V128 sigma() const {
    const __m128i swapped = _mm_shuffle_epi32(x, 0x4e);
    return {_mm_xor_si128(swapped, _mm_and_si128(x, _mm_set_epi64x(-1, 0)))};
  }
  [[nodiscard]] V128 encrypt(V128 key) const { return {_mm_aesenc_si128(x, key.x)}; }
  [[nodiscard]] V128 encrypt_last(V128 key) const { return {_mm_aesenclast_si128(x, key.x)}; }
  /// The last AES round on four copies of the rotated last word: ShiftRows changes nothing there.
  [[nodiscard]] V128 next_key(V128 constant) const {
    const __m128i rotate = _mm_set1_epi32(0x0c0f0e0d);
    const __m128i word = _mm_aesenclast_si128(_mm_shuffle_epi8(x, rotate), constant.x);
    __m128i sums = _mm_xor_si128(x, _mm_slli_si128(x, 4));
    sums = _mm_xor_si128(sums, _mm_slli_si128(sums, 8));
    return {_mm_xor_si128(sums, word)};
  }
  /// The block times x, as times_x of block.hpp.
  [[nodiscard]] V128 times_x() const {
    const __m128i highest = _mm_srli_epi64(x, 63);
    const __m128i carried = _mm_sub_epi64(_mm_setzero_si128(), _mm_srli_si128(highest, 8));
    const __m128i shifted = _mm_or_si128(_mm_slli_epi64(x, 1), _mm_slli_si128(highest, 8));
    return {_mm_xor_si128(shifted, _mm_and_si128(carried, _mm_set1_epi64x(0x87)))};
  }
  /// Of the lower half bit i as bit 8 i, for i < 4. The upper half is of no use.
  [[nodiscard]] V128 low_four_apart() const {
    const __m128i second = _mm_and_si128(_mm_slli_epi64(x, 7), _mm_set1_epi64x(0x100));
    const __m128i third = _mm_and_si128(_mm_slli_epi64(x, 14), _mm_set1_epi64x(0x10000));
    const __m128i fourth = _mm_and_si128(_mm_slli_epi64(x, 21), _mm_set1_epi64x(0x1000000));
    const __m128i first = _mm_and_si128(x, _mm_set1_epi64x(1));
    return {_mm_or_si128(_mm_or_si128(first, second), _mm_or_si128(third, fourth))};
  }
  /// Of the lower half bit i as bit 16 i, for i < 2.
  [[nodiscard]] V128 low_two_apart() const {
    const __m128i second = _mm_and_si128(_mm_slli_epi64(x, 15), _mm_set1_epi64x(0x10000));
    return {_mm_or_si128(_mm_and_si128(x, _mm_set1_epi64x(1)), second)};
  }
  [[nodiscard]] V128 times_power_of_two(int bits) const {
    return {_mm_sll_epi64(x, _mm_cvtsi32_si128(bits))};
  }
  [[nodiscard]] V128 where_colour(V128 label) const {
    const __m128i low = _mm_shuffle_epi32(label.x, 0x00);
    return {_mm_and_si128(x, _mm_srai_epi32(_mm_slli_epi32(low, 31), 31))};
  }
  /// Carry-less products of the block's halves; across: low by high and high by low.
  static V128 multiply_low(V128 a, V128 b) { return {_mm_clmulepi64_si128(a.x, b.x, 0x00)}; }
  static V128 multiply_high(V128 a, V128 b) { return {_mm_clmulepi64_si128(a.x, b.x, 0x11)}; }
  static V128 multiply_across(V128 a, V128 b) {
    return {
        _mm_xor_si128(_mm_clmulepi64_si128(a.x, b.x, 0x01), _mm_clmulepi64_si128(a.x, b.x, 0x10))};
  }
  static V128 multiply_high_by_low(V128 a, V128 b) {
    return {_mm_clmulepi64_si128(a.x, b.x, 0x01)};
  }
  /// The lower half moved to the upper, and the other way; zeros come in.
  [[nodiscard]] V128 up() const { return {_mm_slli_si128(x, 8)}; }
  [[nodiscard]] V128 down() const { return {_mm_srli_si128(x, 8)}; }
  [[nodiscard]] Block sum() const {
    Block result;
    store(&result);
    return result;
  }
};

constexpr Kernels kKernels = make_kernels<V128>();

}  // namespace

const Kernels& aesni_kernels() { return kKernels; }

}  // namespace capc::gc
