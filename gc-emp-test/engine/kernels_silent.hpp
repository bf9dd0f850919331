#pragma once

#include "kernels_simd.hpp"

// The loops of silent transfers over a vector type V, as those of kernels_simd.hpp.
namespace capc::gc {
namespace {

/// Vectors whose AES goes side by side under one key.
constexpr std::size_t kSplitAtOnce = 8;

template <class V>
void split_loop(const RoundKeys& key, Block* nodes, std::size_t width, Block keep, Block* left) {
  const V mask = V::broadcast(keep);
  V sum = V::zero();
  for (std::size_t i = 0; i < width; i += kSplitAtOnce * V::kBlocks) {
    V parents[kSplitAtOnce];
    V states[kSplitAtOnce];
    V round_key = V::broadcast(key.k[0]);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kSplitAtOnce; ++j) {
      const std::size_t at = i + j * V::kBlocks;
      parents[j] = V::zero();
      if (at < width) {
        parents[j] = V::load_bytes(reinterpret_cast<const std::uint8_t*>(nodes + at), width - at);
      }
      states[j] = parents[j].sigma() ^ round_key;
    }
    for (std::size_t r = 1; r < 10; ++r) {
      round_key = V::broadcast(key.k[r]);
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kSplitAtOnce; ++j) states[j] = states[j].encrypt(round_key);
    }
    round_key = V::broadcast(key.k[10]);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kSplitAtOnce; ++j) {
      const std::size_t at = i + j * V::kBlocks;
      if (at >= width) break;
      const V child = states[j].encrypt_last(round_key) ^ parents[j].sigma();
      const std::size_t rest = width - at;
      (child & mask).store_bytes(reinterpret_cast<std::uint8_t*>(nodes + at), rest);
      ((child ^ parents[j]) & mask)
          .store_bytes(reinterpret_cast<std::uint8_t*>(nodes + width + at), rest);
      sum = sum ^ child.first_of(rest);
    }
  }
  *left = sum.sum();
}

template <class V>
void plant_loop(Block* nodes, std::size_t width, std::uint64_t place, Block left, Block right) {
  const V planted[2] = {V::broadcast(left), V::broadcast(right)};
  for (std::size_t i = 0; i < width; i += V::kBlocks) {
    const std::size_t rest = width - i;
    for (std::size_t side = 0; side < 2; ++side) {
      auto* const bytes = reinterpret_cast<std::uint8_t*>(nodes + side * width + i);
      V::load_bytes(bytes, rest).with_place(i, place, planted[side]).store_bytes(bytes, rest);
    }
  }
}

template <class V>
void chosen_sums_loop(const Block* rows, std::size_t stride, std::size_t row_count,
                      const Block* coefficients, std::size_t count, Block* out) {
  for (std::size_t r = 0; r < row_count; ++r) {
    V sum = V::zero();
    for (std::size_t j = 0; j < count; j += V::kBlocks) {
      const V a = V::load_bytes(reinterpret_cast<const std::uint8_t*>(coefficients + j), count - j);
      const V b =
          V::load_bytes(reinterpret_cast<const std::uint8_t*>(rows + r * stride + j), count - j);
      sum = sum ^ a.where_colour(b);
    }
    out[r] = sum.sum();
  }
}

constexpr std::size_t kStepRows = 8;  // whose places are drawn while the step before is added up
constexpr std::size_t kStepPlaces = kStepRows * kCodeWeight;
constexpr std::size_t kStepBlocks = kStepPlaces * sizeof(std::uint32_t) / sizeof(Block);
static_assert(kCodeRows % kStepRows == 0);

/// The places of a step's rows: the key stream from block `first` on, scaled to below `length`.
template <class V>
[[gnu::always_inline]] inline void draw_places(const RoundKeys& code, std::uint64_t first,
                                               std::uint32_t length, std::uint32_t* places) {
  constexpr std::size_t kWide = 5;
  static_assert(kStepBlocks % (kWide * V::kBlocks) == 0);
  for (std::size_t i = 0; i < kStepBlocks; i += kWide * V::kBlocks) {
    V states[kWide];
#pragma GCC unroll 5
    for (std::size_t j = 0; j < kWide; ++j) {
      states[j] = V::counters(first + i + j * V::kBlocks) ^ V::broadcast(code.k[0]);
    }
#pragma GCC unroll 10
    for (std::size_t r = 1; r < 10; ++r) {
#pragma GCC unroll 5
      for (V& state : states) state = state.encrypt(V::broadcast(code.k[r]));
    }
#pragma GCC unroll 5
    for (std::size_t j = 0; j < kWide; ++j) {
      // A number below 2^32 times the length, without its lower 32 bits: even up to length / 2^32.
      states[j]
          .encrypt_last(V::broadcast(code.k[10]))
          .scaled(length)
          .store_bytes(
              reinterpret_cast<std::uint8_t*>(places) + (i + j * V::kBlocks) * sizeof(Block),
              V::kBlocks);
    }
  }
}

/// The secrets that a row adds stand anywhere. They come from the second cache, and while a step
/// waits for them the next one's places are drawn.
template <class V>
void code_rows_loop(const RoundKeys& code, std::uint64_t first, std::size_t count,
                    const Block* secrets, std::uint32_t length, Block* rows) {
  alignas(64) std::uint32_t places[2][kStepPlaces];
  std::uint64_t drawn = first / kStepRows * kStepBlocks;
  draw_places<V>(code, drawn, length, places[0]);
  for (std::size_t row = 0; row < count; row += kStepRows) {
    const std::uint32_t* at = places[row / kStepRows % 2];
    drawn += kStepBlocks;
    draw_places<V>(code, drawn, length, places[(row / kStepRows + 1) % 2]);
#pragma GCC unroll 8
    for (std::size_t i = row; i < row + kStepRows; i += V::kBlocks) {
      V sum = V::load(rows + i);
#pragma GCC unroll 10
      for (std::size_t j = 0; j < kCodeWeight; ++j) {
        sum = sum ^ V::picked(secrets, at + j, kCodeWeight);
      }
      at += V::kBlocks * kCodeWeight;
      sum.store(rows + i);
    }
  }
}

}  // namespace
}  // namespace capc::gc
