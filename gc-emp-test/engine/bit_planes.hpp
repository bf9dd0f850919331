#pragma once

// Bits of many instances side by side, so that one operation on words is one on 64 instances; for
// the engine's own sources only.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "circuit.hpp"
#include "secret.hpp"

namespace capc::gc {

/// A bit of each of 64 instances: bit i is the i-th one's.
using Slice = Word;
constexpr std::size_t kSliceInstances = 64;

[[nodiscard]] constexpr std::size_t slice_count(std::size_t instances) {
  return (instances + kSliceInstances - 1) / kSliceInstances;
}

/// `work` on each slice of so many instances: its number, and how many instances it has.
template <class Work>
void for_each_slice(std::size_t instances, Work work) {
  for (std::size_t slice = 0; slice < slice_count(instances); ++slice) {
    work(slice, std::min(kSliceInstances, instances - slice * kSliceInstances));
  }
}

/// Secret bits of each instance of a batch. A plane is one bit of all of them, slice by slice.
class BitPlanes {
 public:
  BitPlanes() = default;
  BitPlanes(std::size_t planes, std::size_t instances)
      : slices_(slice_count(instances)), bits_(planes * slices_) {}

  [[nodiscard]] Slice& at(std::size_t plane, std::size_t slice) {
    return bits_[plane * slices_ + slice];
  }
  [[nodiscard]] Slice at(std::size_t plane, std::size_t slice) const {
    return bits_[plane * slices_ + slice];
  }

  /// Puts the bits of some instances, from `first` on, where there are zeros. None is set after the
  /// last instance.
  void put(std::size_t plane, std::size_t first, Slice bits) {
    const std::size_t slice = first / kSliceInstances;
    const std::size_t shift = first % kSliceInstances;
    at(plane, slice) |= bits << shift;
    if (shift != 0 && slice + 1 < slices_) {
      at(plane, slice + 1) |= bits >> (kSliceInstances - shift);
    }
  }

 private:
  std::size_t slices_ = 0;
  SecretArray<Slice> bits_;
};

/// Words of several slices, and their bits: slices[b][s] has bit b of the words of slice s.
template <class Unsigned, std::size_t kSlices>
struct TurnedWords {
  std::array<Unsigned, kSlices * kSliceInstances> words{};
  std::array<std::array<Slice, kSlices>, 8 * sizeof(Unsigned)> slices{};

  void turn();
};
using TurnedShares = TurnedWords<Word, 8>;
using TurnedTables = TurnedWords<std::uint32_t, 2>;

}  // namespace capc::gc
