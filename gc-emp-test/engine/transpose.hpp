#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "block.hpp"

// Compiled in each file with that file's instruction set, hence no external linkage.
namespace capc::gc {
namespace {

/// kLanes square bit matrices side by side, in place: row r of each is words[r].
template <class Unsigned, std::size_t kLanes>
inline void transpose_squares(Unsigned (&words)[8 * sizeof(Unsigned)][kLanes]) {
  constexpr std::size_t kRows = 8 * sizeof(Unsigned);
  Unsigned mask = ~Unsigned{0} >> (kRows / 2);
  for (std::size_t width = kRows / 2; width != 0; width >>= 1U, mask ^= mask << width) {
    for (std::size_t base = 0; base < kRows; base += 2 * width) {
      for (std::size_t row = base; row < base + width; ++row) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          const Unsigned high = words[row][lane];
          const Unsigned low = words[row + width][lane];
          const Unsigned moved = ((high >> width) ^ low) & mask;
          words[row][lane] = high ^ (moved << width);
          words[row + width][lane] = low ^ moved;
        }
      }
    }
  }
}

inline void transpose_rows(const Block* rows, std::size_t stride, std::size_t units, Block* out) {
  alignas(64) std::uint64_t half[2][64][8];
  for (std::size_t unit = 0; unit < units; ++unit) {
    for (std::size_t h = 0; h < 2; ++h) {
      for (std::size_t row = 0; row < 64; ++row) {
        std::memcpy(half[h][row], rows + (64 * h + row) * stride + 4 * unit, 64);
      }
      transpose_squares(half[h]);
    }
    for (std::size_t lane = 0; lane < 8; ++lane) {
      Block* column = out + 512 * unit + 64 * lane;
      for (std::size_t row = 0; row < 64; ++row) {
        column[row] = {half[0][row][lane], half[1][row][lane]};
      }
    }
  }
}

}  // namespace
}  // namespace capc::gc
