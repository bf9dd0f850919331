#pragma once

#include "kernels_simd.hpp"

// The loops of tables' pads over a vector type V, as those of kernels_simd.hpp.
namespace capc::gc {
namespace {

/// Of the instances from `at` on.
template <class V>
V polynomial_of(const TableLabels& table, std::size_t at) {
  const auto row = [&](std::size_t i) {
    const Block* const labels = table.labels + i * table.stride + at;
    return V::load_bytes(reinterpret_cast<const std::uint8_t*>(labels), table.count - at);
  };
  V sum = row(table.choice_bits - 1);
  for (std::size_t i = table.choice_bits - 1; i-- > 0;) sum = sum.times_x() ^ row(i);
  return sum;
}

template <class V>
void polynomials_loop(const TableLabels& table, Block* out) {
  for (std::size_t n = 0; n < table.count; n += V::kBlocks) {
    auto* const bytes = reinterpret_cast<std::uint8_t*>(out + n);
    polynomial_of<V>(table, n).store_bytes(bytes, table.count - n);
  }
}

template <class V>
void low_bits_loop(const Block* in, std::size_t count, std::size_t bits, std::uint64_t* out) {
  for (std::size_t p = 0; p < bits; ++p) {
    std::size_t i = 0;
    out[p] = 0;
    for (; i + V::kLowBlocks <= count; i += V::kLowBlocks) out[p] |= V::low_bits(in + i, p) << i;
    for (; i < count; ++i) out[p] |= (in[i].lo >> p & 1U) << i;
  }
}

/// `store` gets the first instance's number and its and the next ones' pads of all entries, which
/// have one key.
template <class V, std::size_t kEntries, class Store>
void pads_loop(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
               Store store) {
  for (std::size_t n = 0; n < table.count; n += V::kBlocks) {
    const V sum = polynomial_of<V>(table, n);
    V key = V::broadcast(tweaks.start) ^ V::counters(tweaks.first + n);
    V x[kEntries];
    V states[kEntries];
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kEntries; ++j) {
      x[j] = (sum ^ V::broadcast(multiples[j])).sigma();
      states[j] = x[j] ^ key;
    }
#pragma GCC unroll 10
    for (std::size_t r = 0; r < 9; ++r) {
      key = key.next_key(V::round_constant(kRoundConstants[r]));
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kEntries; ++j) states[j] = states[j].encrypt(key);
    }
    key = key.next_key(V::round_constant(kRoundConstants[9]));
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kEntries; ++j) states[j] = states[j].encrypt_last(key) ^ x[j];
    store(n, states);
  }
}

/// `work` on the lower halves of up to V::kBlocks blocks, of `count`.
template <class V, class Work>
void for_each_low(V blocks, std::size_t count, Work work) {
  alignas(64) Block stored[V::kBlocks];
  blocks.store(stored);
  for (std::size_t i = 0; i < V::kBlocks && i < count; ++i) work(i, stored[i].lo);
}

template <class V, std::size_t kEntries>
void node_pads_of(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                  std::uint32_t* out) {
  pads_loop<V, kEntries>(table, tweaks, multiples, [&](std::size_t n, const V(&pads)[kEntries]) {
    V planes = V::zero();
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kEntries; ++j) {
      planes = planes ^ pads[j].low_four_apart().times_power_of_two(static_cast<int>(j));
    }
    for_each_low<V>(planes, table.count - n, [&](std::size_t i, std::uint64_t low) {
      out[n + i] = static_cast<std::uint32_t>(low);
    });
  });
}

/// Of 16 entries two planes are kept. Each half goes through the loop by itself, which leaves its
/// states in registers.
template <class V>
void wide_node_pads(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                    std::uint32_t* out) {
  for (std::size_t half = 0; half < 16; half += 8) {
    pads_loop<V, 8>(table, tweaks, multiples + half, [&](std::size_t n, const V(&pads)[8]) {
      V planes = V::zero();
#pragma GCC unroll 8
      for (std::size_t j = 0; j < 8; ++j) {
        planes = planes ^ pads[j].low_two_apart().times_power_of_two(static_cast<int>(half + j));
      }
      for_each_low<V>(planes, table.count - n, [&](std::size_t i, std::uint64_t low) {
        const std::uint32_t before = half == 0 ? 0 : out[n + i];
        out[n + i] = before | static_cast<std::uint32_t>(low);
      });
    });
  }
}

template <class V>
void node_pads_loop(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                    std::uint32_t* out) {
  if (table.choice_bits == 1) return node_pads_of<V, 2>(table, tweaks, multiples, out);
  if (table.choice_bits == 2) return node_pads_of<V, 4>(table, tweaks, multiples, out);
  if (table.choice_bits == 3) return node_pads_of<V, 8>(table, tweaks, multiples, out);
  wide_node_pads<V>(table, tweaks, multiples, out);
}

template <class V, std::size_t kEntries>
void number_pads_of(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                    std::uint64_t* out) {
  pads_loop<V, kEntries>(table, tweaks, multiples, [&](std::size_t n, const V(&pads)[kEntries]) {
    for (std::size_t j = 0; j < kEntries; ++j) {
      for_each_low<V>(pads[j], table.count - n,
                      [&](std::size_t i, std::uint64_t low) { out[kEntries * (n + i) + j] = low; });
    }
  });
}

template <class V>
void number_pads_loop(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                      std::uint64_t* out) {
  if (table.choice_bits == 1) return number_pads_of<V, 2>(table, tweaks, multiples, out);
  number_pads_of<V, 4>(table, tweaks, multiples, out);
}

}  // namespace
}  // namespace capc::gc
