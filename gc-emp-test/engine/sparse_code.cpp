#include "sparse_code.hpp"

#include <array>
#include <cstring>

namespace capc::gc {
namespace {

constexpr std::size_t kAhead = 6;  // rows whose secrets are fetched before they are needed

}  // namespace

void add_code_rows(const Kernels& kernels, const RoundKeys& code, std::size_t first,
                   std::size_t count, const Block* secrets, std::size_t length, Block* rows) {
  constexpr std::size_t kPlaces = kCodeRows * kCodeWeight;
  constexpr std::size_t kPerBlock = 4;  // numbers of 32 bits
  constexpr std::size_t kStream = kPlaces / kPerBlock;
  std::array<Block, kStream> stream;
  std::array<std::uint32_t, kPlaces> places;
  for (std::size_t row = 0; row < count; row += kCodeRows) {
    kernels.stream(code, (first + row) / kCodeRows * kStream, stream.data(), kStream);
    std::memcpy(places.data(), stream.data(), sizeof stream);
    // A number below 2^32 times the length, without its lower 32 bits: even up to length / 2^32.
    for (std::uint32_t& place : places) {
      place = static_cast<std::uint32_t>(place * std::uint64_t{length} >> 32U);
    }
    const std::uint32_t* at = places.data();
    const std::uint32_t* const last_fetch = at + kPlaces - kAhead * kCodeWeight;
    for (std::size_t i = row; i < row + kCodeRows; ++i) {
      if (at < last_fetch) {
        for (std::size_t j = 0; j < kCodeWeight; ++j) {
          __builtin_prefetch(secrets + at[kAhead * kCodeWeight + j], 0, 2);
        }
      }
      Block sum = rows[i];
      for (std::size_t j = 0; j < kCodeWeight; ++j) sum ^= secrets[*at++];
      rows[i] = sum;
    }
  }
}

}  // namespace capc::gc
