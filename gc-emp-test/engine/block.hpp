#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace capc::gc {

static_assert(std::endian::native == std::endian::little, "labels are stored little-endian");

/// 128 bits: a wire label, an AES block or a seed. Bit 0 of `lo` is a label's colour.
struct alignas(16) Block {
  std::uint64_t lo = 0;
  std::uint64_t hi = 0;

  friend constexpr Block operator^(Block x, Block y) { return {x.lo ^ y.lo, x.hi ^ y.hi}; }
  friend constexpr Block operator&(Block x, Block y) { return {x.lo & y.lo, x.hi & y.hi}; }
  constexpr Block& operator^=(Block other) { return *this = *this ^ other; }
  friend constexpr bool operator==(Block, Block) = default;

  [[nodiscard]] constexpr unsigned colour() const { return static_cast<unsigned>(lo & 1U); }
};

/// `value` where `bit` is 1 and zero where it is 0, without a branch.
[[nodiscard]] constexpr Block select(std::uint64_t bit, Block value) {
  const std::uint64_t mask = ~std::uint64_t{0} * (bit & 1U);
  return {value.lo & mask, value.hi & mask};
}

[[nodiscard]] constexpr std::uint64_t bit_of(Block x, std::size_t i) {
  return ((i < 64 ? x.lo : x.hi) >> (i % 64)) & 1U;
}

/// x times an element of GF(2^128), bit i of a block being x^i; no branch depends on it.
[[nodiscard]] constexpr Block times_x(Block a) {
  const std::uint64_t carried = std::uint64_t{0} - (a.hi >> 63U);
  return {(a.lo << 1U) ^ (0x87U & carried), (a.hi << 1U) | (a.lo >> 63U)};
}

/// The element with coefficient i at x^i, for i < count: sum of x^i blocks[i].
[[nodiscard]] constexpr Block polynomial(const Block* blocks, std::size_t count) {
  Block sum = blocks[count - 1];
  for (std::size_t i = count - 1; i-- > 0;) sum = times_x(sum) ^ blocks[i];
  return sum;
}

/// x^i.
[[nodiscard]] constexpr Block one_bit(std::size_t i) {
  const std::uint64_t bit = std::uint64_t{1} << (i % 64);
  return i < 64 ? Block{bit, 0} : Block{0, bit};
}

/// The linear orthomorphism (hi, lo) -> (hi ^ lo, hi) that the garbling hash applies to a label.
[[nodiscard]] constexpr Block sigma(Block x) { return {x.hi, x.hi ^ x.lo}; }

}  // namespace capc::gc
