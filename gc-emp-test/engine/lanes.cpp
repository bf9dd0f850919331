#include "lanes.hpp"

namespace capc::gc {
namespace {

/// An 8 x 8 bit matrix, byte r being row r, transposed.
[[nodiscard]] std::uint64_t transpose_8(std::uint64_t x) {
  std::uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aa;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000cccc0000cccc;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0;
  return x ^ t ^ (t << 28);
}

}  // namespace

void InputLanes::load(std::uint32_t word) {
  std::array<Word, kLanes> values{};
  for (std::size_t i = 0; i < lanes_; ++i) values[i] = words_[(first_ + i) * word_count_ + word];
  for (std::size_t byte = 0; byte < 8; ++byte) {
    std::uint64_t half[2] = {0, 0};
    for (std::size_t i = 0; i < kLanes; ++i) {
      half[i / 8] |= ((values[i] >> (8 * byte)) & 0xff) << (8 * (i % 8));
    }
    const std::uint64_t low = transpose_8(half[0]);
    const std::uint64_t high = transpose_8(half[1]);
    for (std::size_t bit = 0; bit < 8; ++bit) {
      turned_[8 * byte + bit] =
          static_cast<LaneBits>(((low >> (8 * bit)) & 0xff) | (((high >> (8 * bit)) & 0xff) << 8U));
    }
  }
  loaded_ = word;
}

}  // namespace capc::gc
