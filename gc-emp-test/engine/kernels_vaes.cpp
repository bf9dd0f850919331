#include <immintrin.h>

#include "kernels_paths.hpp"
#include "make_kernels.hpp"

namespace capc::gc {
namespace {

/// Four blocks in an AVX-512 register.
struct V512 {
  static constexpr std::size_t kBlocks = 4;
  __m512i x;

  static V512 zero() { return {_mm512_setzero_si512()}; }
  static V512 broadcast(const Block& b) {
    return {_mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(&b)))};
  }
  static __mmask8 first(std::size_t blocks) {
    return static_cast<__mmask8>(blocks >= kBlocks ? 0xff : (1U << (2 * blocks)) - 1);
  }
  static V512 load(const Block* p) { return {_mm512_loadu_si512(p)}; }
  /// Four blocks from four places, which may be anywhere.
  static V512 gather(const void* a, const void* b, const void* c, const void* d) {
    const auto at = [](const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); };
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(at(a)), at(b), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(at(c)), at(d), 1);
    return {_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)};
  }
  /// The numbers in the blocks' lower halves.
  static V512 numbers(const std::uint64_t* n) { return {_mm512_maskz_expandloadu_epi64(0x55, n)}; }
  static void xor_block(const Block* a, const Block* b, Block* out) {
    const auto at = [](const Block* p) {
      return _mm_load_si128(reinterpret_cast<const __m128i*>(p));
    };
    _mm_store_si128(reinterpret_cast<__m128i*>(out), _mm_xor_si128(at(a), at(b)));
  }
  /// The blocks at four places, which stand so many numbers apart.
  static V512 picked(const Block* blocks, const std::uint32_t* places, std::size_t apart) {
    const auto at = [&](std::size_t i) {
      return _mm_load_si128(reinterpret_cast<const __m128i*>(&blocks[places[i * apart]]));
    };
    __m512i x = _mm512_castsi128_si512(at(0));
    x = _mm512_mask_broadcast_i64x2(x, 0x0c, at(1));
    x = _mm512_mask_broadcast_i64x2(x, 0x30, at(2));
    return {_mm512_mask_broadcast_i64x2(x, 0xc0, at(3))};
  }
  static V512 load_bytes(const std::uint8_t* p, std::size_t blocks) {
    return {_mm512_maskz_loadu_epi64(first(blocks), p)};
  }
  /// A bit of the lower half of each of so many blocks.
  static constexpr std::size_t kLowBlocks = 8;
  static std::uint64_t low_bits(const Block* p, std::size_t bit) {
    const __m512i lower = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i halves = _mm512_permutex2var_epi64(load(p).x, lower, load(p + kBlocks).x);
    return _mm512_test_epi64_mask(halves, _mm512_set1_epi64(std::int64_t{1} << bit));
  }
  void store(Block* p) const { _mm512_storeu_si512(p, x); }
  void store_bytes(std::uint8_t* p, std::size_t blocks) const {
    _mm512_mask_storeu_epi64(p, first(blocks), x);
  }
  static V512 tweaks(std::uint64_t t) {
    const __m512i steps = _mm512_set_epi64(0, 6, 0, 4, 0, 2, 0, 0);
    return {_mm512_add_epi64(_mm512_maskz_set1_epi64(0x55, static_cast<long long>(t)), steps)};
  }
  static V512 counters(std::uint64_t t) {
    const __m512i steps = _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0);
    return {_mm512_add_epi64(_mm512_maskz_set1_epi64(0x55, static_cast<long long>(t)), steps)};
  }
  static V512 round_constant(std::uint8_t c) { return {_mm512_set1_epi32(c)}; }

  friend V512 operator^(V512 a, V512 b) { return {_mm512_xor_si512(a.x, b.x)}; }
  friend V512 operator&(V512 a, V512 b) { return {_mm512_and_si512(a.x, b.x)}; }
  /// Zero but for the first `blocks`.
  [[nodiscard]] V512 first_of(std::size_t blocks) const {
    return {_mm512_maskz_mov_epi64(first(blocks), x)};
  }
  /// `value` for block `place` of an array in which this begins at block `first`, without a branch.
  [[nodiscard]] V512 with_place(std::uint64_t first, std::uint64_t place, V512 value) const {
    const __m512i steps = _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0);
    const __m512i own = _mm512_add_epi64(_mm512_set1_epi64(static_cast<long long>(first)), steps);
    const __mmask8 same =
        _mm512_cmpeq_epi64_mask(own, _mm512_set1_epi64(static_cast<long long>(place)));
    return {_mm512_mask_mov_epi64(x, same, value.x)};
  }
  /// Each number of 32 bits times `factor`, without the product's lower 32 bits.
  [[nodiscard]] V512 scaled(std::uint32_t factor) const {
    const __m512i by = _mm512_set1_epi64(factor);
    const __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(x, by), 32);
    const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), by);
    return {_mm512_mask_blend_epi32(0xaaaa, even, odd)};
  }
  [[nodiscard]] V512 sigma() const {
    const __m512i swapped = _mm512_shuffle_epi32(x, static_cast<_MM_PERM_ENUM>(0x4e));
    const __m512i high = _mm512_set_epi64(-1, 0, -1, 0, -1, 0, -1, 0);
    return {_mm512_ternarylogic_epi64(swapped, x, high, 0x78)};
  }
  [[nodiscard]] V512 encrypt(V512 key) const { return {_mm512_aesenc_epi128(x, key.x)}; }
  [[nodiscard]] V512 encrypt_last(V512 key) const { return {_mm512_aesenclast_epi128(x, key.x)}; }
  /// The last AES round on four copies of the rotated last word: ShiftRows changes nothing there.
  [[nodiscard]] V512 next_key(V512 constant) const {
    const __m512i rotate = _mm512_set1_epi32(0x0c0f0e0d);
    const __m512i word = _mm512_aesenclast_epi128(_mm512_shuffle_epi8(x, rotate), constant.x);
    const __m512i sums = _mm512_xor_si512(x, _mm512_bslli_epi128(x, 4));
    return {_mm512_ternarylogic_epi64(sums, _mm512_bslli_epi128(sums, 8), word, 0x96)};
  }
  /// Each block times x, as times_x of block.hpp.
  [[nodiscard]] V512 times_x() const {
    const __m512i highest = _mm512_srli_epi64(x, 63);
    const __m512i carried =
        _mm512_sub_epi64(_mm512_setzero_si512(), _mm512_bsrli_epi128(highest, 8));
    const __m512i shifted =
        _mm512_or_si512(_mm512_slli_epi64(x, 1), _mm512_bslli_epi128(highest, 8));
    return {_mm512_ternarylogic_epi64(shifted, carried, _mm512_set1_epi64(0x87), 0x78)};
  }
  /// Of each lower half bit i as bit 8 i, for i < 4. Upper halves are of no use.
  [[nodiscard]] V512 low_four_apart() const {
    const __m512i second = _mm512_and_si512(_mm512_slli_epi64(x, 7), _mm512_set1_epi64(0x100));
    const __m512i third = _mm512_and_si512(_mm512_slli_epi64(x, 14), _mm512_set1_epi64(0x10000));
    const __m512i fourth = _mm512_and_si512(_mm512_slli_epi64(x, 21), _mm512_set1_epi64(0x1000000));
    const __m512i first = _mm512_and_si512(x, _mm512_set1_epi64(1));
    return {_mm512_or_si512(_mm512_or_si512(first, second), _mm512_or_si512(third, fourth))};
  }
  /// Of each lower half bit i as bit 16 i, for i < 2.
  [[nodiscard]] V512 low_two_apart() const {
    const __m512i second = _mm512_and_si512(_mm512_slli_epi64(x, 15), _mm512_set1_epi64(0x10000));
    return {_mm512_or_si512(_mm512_and_si512(x, _mm512_set1_epi64(1)), second)};
  }
  [[nodiscard]] V512 times_power_of_two(int bits) const {
    return {_mm512_sll_epi64(x, _mm_cvtsi32_si128(bits))};
  }
  [[nodiscard]] V512 where_colour(V512 label) const {
    const __m512i low = _mm512_unpacklo_epi64(label.x, label.x);
    return {_mm512_maskz_mov_epi64(_mm512_test_epi64_mask(low, _mm512_set1_epi64(1)), x)};
  }
  /// Carry-less products of the blocks' halves; across: low by high and high by low.
  static V512 multiply_low(V512 a, V512 b) { return {_mm512_clmulepi64_epi128(a.x, b.x, 0x00)}; }
  static V512 multiply_high(V512 a, V512 b) { return {_mm512_clmulepi64_epi128(a.x, b.x, 0x11)}; }
  static V512 multiply_across(V512 a, V512 b) {
    return {_mm512_xor_si512(_mm512_clmulepi64_epi128(a.x, b.x, 0x01),
                             _mm512_clmulepi64_epi128(a.x, b.x, 0x10))};
  }
  static V512 multiply_high_by_low(V512 a, V512 b) {
    return {_mm512_clmulepi64_epi128(a.x, b.x, 0x01)};
  }
  /// Each block's lower half moved to the upper, and the other way; zeros come in.
  [[nodiscard]] V512 up() const { return {_mm512_bslli_epi128(x, 8)}; }
  [[nodiscard]] V512 down() const { return {_mm512_bsrli_epi128(x, 8)}; }
  [[nodiscard]] Block sum() const {
    const __m256i half =
        _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    Block result;
    _mm_store_si128(reinterpret_cast<__m128i*>(&result),
                    _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
    return result;
  }
};

constexpr Kernels kKernels = make_kernels<V512>();

}  // namespace

const Kernels& vaes_kernels() { return kKernels; }

}  // namespace capc::gc
