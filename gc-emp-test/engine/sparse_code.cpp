#include "sparse_code.hpp"

#include <array>

namespace capc::gc {

void add_code_rows(const Kernels& kernels, const RoundKeys& code, std::size_t first,
                   std::size_t count, const Block* secrets, std::size_t length, Block* rows) {
  constexpr std::size_t kPlaces = kCodeRows * kCodeWeight;
  constexpr std::size_t kPerBlock = 4;  // numbers of 32 bits
  constexpr std::size_t kStream = kPlaces / kPerBlock;
  std::array<Block, kStream> stream;
  std::array<std::uint32_t, kPlaces> places;
  for (std::size_t row = 0; row < count; row += kCodeRows) {
    kernels.stream(code, (first + row) / kCodeRows * kStream, stream.data(), kStream);
    // A number below 2^32 times the length, without its lower 32 bits: even up to length / 2^32.
    const auto place = [length](std::uint64_t number) {
      return static_cast<std::uint32_t>((number & 0xFFFFFFFF) * length >> 32U);
    };
    for (std::size_t i = 0; i < kStream; ++i) {
      std::uint32_t* const out = &places[kPerBlock * i];
      out[0] = place(stream[i].lo);
      out[1] = place(stream[i].lo >> 32U);
      out[2] = place(stream[i].hi);
      out[3] = place(stream[i].hi >> 32U);
    }
    const std::uint32_t* at = places.data();
    for (std::size_t i = row; i < row + kCodeRows; ++i) {
      Block sum = rows[i];
      for (std::size_t j = 0; j < kCodeWeight; ++j) sum ^= secrets[*at++];
      rows[i] = sum;
    }
  }
}

}  // namespace capc::gc
