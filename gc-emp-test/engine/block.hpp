#pragma once

#include <bit>
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

/// The linear orthomorphism (hi, lo) -> (hi ^ lo, hi) that the garbling hash applies to a label.
[[nodiscard]] constexpr Block sigma(Block x) { return {x.hi, x.hi ^ x.lo}; }

}  // namespace capc::gc
