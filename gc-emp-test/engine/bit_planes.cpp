#include "bit_planes.hpp"

#include <cstring>

#include "transpose.hpp"

namespace capc::gc {

template <class Unsigned, std::size_t kSlices>
void TurnedWords<Unsigned, kSlices>::turn() {
  constexpr std::size_t kRows = 8 * sizeof(Unsigned);
  constexpr std::size_t kSquares = kSlices * kSliceInstances / kRows;
  struct Squares {
    Unsigned rows[kRows][kSquares];
  };
  Secret<Squares> squares;
  auto& rows = squares.get().rows;
  for (std::size_t square = 0; square < kSquares; ++square) {
    for (std::size_t row = 0; row < kRows; ++row) rows[row][square] = words[square * kRows + row];
  }
  transpose_squares(rows);
  static_assert(sizeof rows == sizeof slices);
  std::memcpy(slices.data(), rows, sizeof rows);
}

template void TurnedWords<Word, 8>::turn();
template void TurnedWords<std::uint32_t, 2>::turn();

}  // namespace capc::gc
