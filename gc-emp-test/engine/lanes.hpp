#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "block.hpp"
#include "circuit.hpp"
#include "kernels.hpp"
#include "layout.hpp"

namespace capc::gc {

/// One bit of a word in each instance of a block: instance i in bit i.
using LaneBits = std::uint16_t;
static_assert(kLanes == 16);

/// The words of a party's inputs for the instances of one block, turned by bits.
class InputLanes {
 public:
  /// `words` holds `word_count` words for each instance; the block starts at `first_instance`.
  InputLanes(std::span<const Word> words, std::size_t word_count, std::size_t first_instance,
             std::size_t lanes)
      : words_(words), word_count_(word_count), first_(first_instance), lanes_(lanes) {}

  /// Bit `bit` of word `word` in every lane. Ask for the bits of a word one after the other.
  [[nodiscard]] LaneBits bits(std::uint32_t word, std::uint32_t bit) {
    if (word != loaded_) load(word);
    return turned_[bit];
  }

 private:
  void load(std::uint32_t word);

  std::span<const Word> words_;
  std::size_t word_count_;
  std::size_t first_;
  std::size_t lanes_;
  std::uint32_t loaded_ = 0xFFFFFFFF;
  std::array<LaneBits, 64> turned_{};
};

/// Appends runs of bits to 64-bit words, least significant first.
class BitPacker {
 public:
  explicit BitPacker(std::span<std::uint64_t> out) : out_(out) {}
  void put(std::uint64_t value, std::size_t count) {
    const std::size_t at = position_ / 64;
    const std::size_t shift = position_ % 64;
    out_[at] |= value << shift;
    if (shift + count > 64) out_[at + 1] |= value >> (64 - shift);
    position_ += count;
  }

 private:
  std::span<std::uint64_t> out_;
  std::size_t position_ = 0;
};

/// What BitPacker wrote.
class BitUnpacker {
 public:
  explicit BitUnpacker(std::span<const std::uint64_t> in) : in_(in) {}
  [[nodiscard]] std::uint64_t get(std::size_t count) {
    const std::size_t at = position_ / 64;
    const std::size_t shift = position_ % 64;
    std::uint64_t value = in_[at] >> shift;
    if (shift + count > 64) value |= in_[at + 1] << (64 - shift);
    position_ += count;
    return low_bits(value, count);
  }

 private:
  std::span<const std::uint64_t> in_;
  std::size_t position_ = 0;
};

/// Rows `first` on of the stream of labels under `key`, of which a block of `lanes` instances is
/// in use. How many labels of each row stand in `labels`: one or all.
[[nodiscard]] inline std::size_t draw_rows(const Kernels& kernels, const RoundKeys& key,
                                           std::uint64_t first, std::size_t rows, std::size_t lanes,
                                           Block* labels) {
  if (lanes == 1) {
    kernels.stream_lane(key, first, labels, rows);
    return 1;
  }
  kernels.stream(key, first * kLanes, labels, rows * kLanes);
  return kLanes;
}

/// row[i] = labels[i] ^ (bit i ? delta : 0), for i < count.
inline void offset_labels(const Block* labels, LaneBits bits, Block delta, std::size_t count,
                          Block* row) {
  for (std::size_t i = 0; i < count; ++i) {
    row[i] = labels[i] ^ select(static_cast<std::uint64_t>(bits) >> i, delta);
  }
}

/// The colours of a row's first `lanes` labels.
[[nodiscard]] inline LaneBits colours(const Block* row, std::size_t lanes) {
  unsigned bits = 0;
  for (std::size_t i = 0; i < lanes; ++i) bits |= row[i].colour() << i;
  return static_cast<LaneBits>(bits);
}

}  // namespace capc::gc
