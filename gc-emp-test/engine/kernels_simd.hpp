#pragma once

#include <bit>

#include "kernels.hpp"
#include "transpose.hpp"

// The AES loops over a vector type V of V::kBlocks blocks. Each kernel file defines its V in the
// same unnamed namespace, so that code built for one instruction set is never linked into another.
namespace capc::gc {
namespace {

constexpr std::uint8_t kRoundConstants[10] = {0x01, 0x02, 0x04, 0x08, 0x10,
                                              0x20, 0x40, 0x80, 0x1b, 0x36};

/// Vectors that are encrypted side by side, so that one waits for its AES while others go on.
constexpr std::size_t kRekeyed = 4;

/// states[i] = AES_{keys[i]}(states[i]), the keys expanded on the way.
template <class V>
[[gnu::always_inline]] inline void encrypt_rekeyed(V (&keys)[kRekeyed], V (&states)[kRekeyed]) {
#pragma GCC unroll 4
  for (std::size_t i = 0; i < kRekeyed; ++i) states[i] = states[i] ^ keys[i];
#pragma GCC unroll 10
  for (std::size_t r = 0; r < 9; ++r) {
    const V constant = V::round_constant(kRoundConstants[r]);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kRekeyed; ++i) {
      keys[i] = keys[i].next_key(constant);
      states[i] = states[i].encrypt(keys[i]);
    }
  }
  const V constant = V::round_constant(kRoundConstants[9]);
#pragma GCC unroll 4
  for (std::size_t i = 0; i < kRekeyed; ++i) {
    states[i] = states[i].encrypt_last(keys[i].next_key(constant));
  }
}

/// The blocks of the kRekeyed vectors from block i on, of `count`: none once they are past the end.
template <class V, class Work>
void for_rekeyed(std::size_t i, std::size_t count, Work work) {
#pragma GCC unroll 4
  for (std::size_t j = 0; j < kRekeyed; ++j) {
    const std::size_t at = i + j * V::kBlocks;
    if (at < count) work(j, at);
  }
}

template <class V>
void hash_loop(Block start, std::uint64_t first, const Block* in, Block* out, std::size_t count) {
  const V start_keys = V::broadcast(start);
  for (std::size_t i = 0; i < count; i += kRekeyed * V::kBlocks) {
    V keys[kRekeyed] = {V::zero(), V::zero(), V::zero(), V::zero()};
    V x[kRekeyed] = {V::zero(), V::zero(), V::zero(), V::zero()};
    for_rekeyed<V>(i, count, [&](std::size_t j, std::size_t at) {
      const auto* const bytes = reinterpret_cast<const std::uint8_t*>(in + at);
      x[j] = V::load_bytes(bytes, count - at).sigma();
      keys[j] = start_keys ^ V::counters(first + at);
    });
    V states[kRekeyed] = {x[0], x[1], x[2], x[3]};
    encrypt_rekeyed(keys, states);
    for_rekeyed<V>(i, count, [&](std::size_t j, std::size_t at) {
      (states[j] ^ x[j]).store_bytes(reinterpret_cast<std::uint8_t*>(out + at), count - at);
    });
  }
}

template <class V>
void encrypt_loop(const Block* keys, const Block* in, Block* out, std::size_t count) {
  for (std::size_t i = 0; i < count; i += kRekeyed * V::kBlocks) {
    V own_keys[kRekeyed] = {V::zero(), V::zero(), V::zero(), V::zero()};
    V states[kRekeyed] = {V::zero(), V::zero(), V::zero(), V::zero()};
    for_rekeyed<V>(i, count, [&](std::size_t j, std::size_t at) {
      const std::size_t rest = count - at;
      own_keys[j] = V::load_bytes(reinterpret_cast<const std::uint8_t*>(keys + at), rest);
      states[j] = V::load_bytes(reinterpret_cast<const std::uint8_t*>(in + at), rest);
    });
    encrypt_rekeyed(own_keys, states);
    for_rekeyed<V>(i, count, [&](std::size_t j, std::size_t at) {
      states[j].store_bytes(reinterpret_cast<std::uint8_t*>(out + at), count - at);
    });
  }
}

template <class V>
void expand_key_once(Block key, RoundKeys& out) {
  V round_key = V::broadcast(key);
  out.k[0] = key;
#pragma GCC unroll 10
  for (std::size_t r = 0; r < 10; ++r) {
    round_key = round_key.next_key(V::round_constant(kRoundConstants[r]));
    round_key.store_bytes(reinterpret_cast<std::uint8_t*>(&out.k[r + 1]), 1);
  }
}

/// kLanes times the numbers from `first` on, or the numbers themselves.
template <class V, bool kOfLane>
[[nodiscard]] V stream_counters(std::uint64_t first) {
  const V counters = V::counters(first);
  return kOfLane ? counters.times_power_of_two(std::countr_zero(kLanes)) : counters;
}

template <class V, bool kOfLane = false>
void stream_loop(const RoundKeys& key, std::uint64_t first, Block* out, std::size_t count) {
  constexpr std::size_t kWide = 8;
  for (std::size_t i = 0; i < count; i += kWide * V::kBlocks) {
    V state[kWide];
    V round_key = V::broadcast(key.k[0]);
#pragma GCC unroll 16
    for (std::size_t j = 0; j < kWide; ++j) {
      state[j] = stream_counters<V, kOfLane>(first + i + j * V::kBlocks) ^ round_key;
    }
    for (std::size_t r = 1; r < 10; ++r) {
      round_key = V::broadcast(key.k[r]);
#pragma GCC unroll 16
      for (std::size_t j = 0; j < kWide; ++j) state[j] = state[j].encrypt(round_key);
    }
    round_key = V::broadcast(key.k[10]);
#pragma GCC unroll 16
    for (std::size_t j = 0; j < kWide; ++j) {
      const std::size_t at = i + j * V::kBlocks;
      if (at >= count) break;
      state[j].encrypt_last(round_key).store_bytes(reinterpret_cast<std::uint8_t*>(out + at),
                                                   count - at);
    }
  }
}

template <class V>
void leaf_sums_loop(const RoundKeys* leaves, std::uint64_t first, std::size_t units, Block* u,
                    Block* const v[4]) {
  const std::size_t blocks = units * kUnitBlocks;
  for (std::size_t i = 0; i < blocks; i += V::kBlocks) {
    const V counter = V::counters(first + i);
    V leaf[kLeaves];
#pragma GCC unroll 16
    for (std::size_t x = 0; x < kLeaves; ++x) {
      leaf[x] = counter ^ V::broadcast(leaves[x].k[0]);
    }
    for (std::size_t r = 1; r < 10; ++r) {
#pragma GCC unroll 16
      for (std::size_t x = 0; x < kLeaves; ++x) {
        leaf[x] = leaf[x].encrypt(V::broadcast(leaves[x].k[r]));
      }
    }
#pragma GCC unroll 16
    for (std::size_t x = 0; x < kLeaves; ++x) {
      leaf[x] = leaf[x].encrypt_last(V::broadcast(leaves[x].k[10]));
    }
#pragma GCC unroll 16
    for (std::size_t bit = 0; bit < 4; ++bit) {
      V sum = V::zero();
      const std::size_t half = kLeaves >> (bit + 1);
#pragma GCC unroll 16
      for (std::size_t x = 0; x < half; ++x) {
        sum = sum ^ leaf[2 * x + 1];
        leaf[x] = leaf[2 * x] ^ leaf[2 * x + 1];
      }
      sum.store(v[bit] + i);
    }
    leaf[0].store(u + i);
  }
}

/// low + middle x^64 + high x^128 modulo x^128 + x^7 + x^2 + x + 1, in each block.
template <class V>
V reduce_products(V low, V middle, V high) {
  const V modulus = V::broadcast({0x87, 0});
  low = low ^ middle.up();
  high = high ^ middle.down();
  const V top = V::multiply_high_by_low(high, modulus);  // of x^192: its upper half is of x^256
  return low ^ top.up() ^ V::multiply_low(high ^ top.down(), modulus);
}

template <class V>
void row_hashes_loop(const Block* rows, std::size_t stride, std::size_t row_count,
                     const Block* coefficients, std::size_t count, Block* out) {
  for (std::size_t r = 0; r < row_count; ++r) {
    const Block* const row = rows + r * stride;
    V low = V::zero();
    V middle = V::zero();
    V high = V::zero();
    for (std::size_t j = 0; j < count; j += V::kBlocks) {
      const V a = V::load_bytes(reinterpret_cast<const std::uint8_t*>(coefficients + j), count - j);
      const V b = V::load_bytes(reinterpret_cast<const std::uint8_t*>(row + j), count - j);
      low = low ^ V::multiply_low(a, b);
      middle = middle ^ V::multiply_across(a, b);
      high = high ^ V::multiply_high(a, b);
    }
    out[r] = reduce_products(low, middle, high).sum();
  }
}

}  // namespace
}  // namespace capc::gc
