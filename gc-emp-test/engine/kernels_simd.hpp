#pragma once

#include "kernels.hpp"
#include "transpose.hpp"

// The AES loops over a vector type V of V::kBlocks blocks. Each kernel file defines its V in the
// same unnamed namespace, so that code built for one instruction set is never linked into another.
namespace capc::gc {
namespace {

constexpr std::uint8_t kRoundConstants[10] = {0x01, 0x02, 0x04, 0x08, 0x10,
                                              0x20, 0x40, 0x80, 0x1b, 0x36};

template <class V>
void garble_loop(const GarbleJob& job) {
  constexpr std::size_t kStep = V::kBlocks;
  const V delta = V::broadcast(job.delta);
  const V sigma_delta = delta.sigma();
  const V start = V::broadcast(job.tweaks.start);
  const V odd = V::broadcast({1, 0});
  std::uint64_t tweak = job.tweaks.first;
  std::uint8_t* table = job.tables;
  for (const Op* op = job.ops; op != job.ops + job.op_count; ++op) {
    const Block* a_row = job.slots + op->a * kLanes;
    const Block* b_row = job.slots + op->b * kLanes;
    Block* out_row = job.slots + op->out * kLanes;
    if (!op->is_and) {
      for (std::size_t i = 0; i < job.lanes; i += kStep) {
        (V::load(a_row + i) ^ V::load(b_row + i)).store(out_row + i);
      }
      continue;
    }
    const V flip_a = op->invert_a ? delta : V::zero();
    const V flip_b = op->invert_b ? delta : V::zero();
    std::uint8_t* evaluator_table = table + 16 * job.lanes;
    for (std::size_t i = 0; i < job.lanes; i += kStep) {
      const V a0 = V::load(a_row + i) ^ flip_a;
      const V b0 = V::load(b_row + i) ^ flip_b;
      const V xa0 = a0.sigma();
      const V xa1 = xa0 ^ sigma_delta;
      const V xb0 = b0.sigma();
      const V xb1 = xb0 ^ sigma_delta;
      V ka = start ^ V::tweaks(tweak + 2 * i);
      V kb = ka ^ odd;
      V ha0 = xa0 ^ ka;
      V ha1 = xa1 ^ ka;
      V hb0 = xb0 ^ kb;
      V hb1 = xb1 ^ kb;
#pragma GCC unroll 10
      for (std::size_t r = 0; r < 9; ++r) {
        const V constant = V::round_constant(kRoundConstants[r]);
        ka = ka.next_key(constant);
        kb = kb.next_key(constant);
        ha0 = ha0.encrypt(ka);
        ha1 = ha1.encrypt(ka);
        hb0 = hb0.encrypt(kb);
        hb1 = hb1.encrypt(kb);
      }
      const V constant = V::round_constant(kRoundConstants[9]);
      ka = ka.next_key(constant);
      kb = kb.next_key(constant);
      ha0 = ha0.encrypt_last(ka) ^ xa0;
      ha1 = ha1.encrypt_last(ka) ^ xa1;
      hb0 = hb0.encrypt_last(kb) ^ xb0;
      hb1 = hb1.encrypt_last(kb) ^ xb1;
      const V generator = ha0 ^ ha1 ^ delta.where_colour(b0);
      const V hashes = hb0 ^ hb1;
      const V out = ha0 ^ hb0 ^ generator.where_colour(a0) ^ hashes.where_colour(b0);
      const std::size_t rest = job.lanes - i;
      generator.store_bytes(table + 16 * i, rest);
      (hashes ^ a0).store_bytes(evaluator_table + 16 * i, rest);
      out.store(out_row + i);
    }
    tweak += 2 * job.tweaks.stride;
    table += kTableBytes * job.lanes;
  }
}

template <class V>
void evaluate_loop(const EvaluateJob& job) {
  constexpr std::size_t kStep = V::kBlocks;
  const V start = V::broadcast(job.tweaks.start);
  const V odd = V::broadcast({1, 0});
  std::uint64_t tweak = job.tweaks.first;
  const std::uint8_t* table = job.tables;
  for (const Op* op = job.ops; op != job.ops + job.op_count; ++op) {
    const Block* a_row = job.slots + op->a * kLanes;
    const Block* b_row = job.slots + op->b * kLanes;
    Block* out_row = job.slots + op->out * kLanes;
    if (!op->is_and) {
      for (std::size_t i = 0; i < job.lanes; i += kStep) {
        (V::load(a_row + i) ^ V::load(b_row + i)).store(out_row + i);
      }
      continue;
    }
    const std::uint8_t* evaluator_table = table + 16 * job.lanes;
    for (std::size_t i = 0; i < job.lanes; i += kStep) {
      const V a = V::load(a_row + i);
      const V b = V::load(b_row + i);
      const V xa = a.sigma();
      const V xb = b.sigma();
      V ka = start ^ V::tweaks(tweak + 2 * i);
      V kb = ka ^ odd;
      V ha = xa ^ ka;
      V hb = xb ^ kb;
#pragma GCC unroll 10
      for (std::size_t r = 0; r < 9; ++r) {
        const V constant = V::round_constant(kRoundConstants[r]);
        ka = ka.next_key(constant);
        kb = kb.next_key(constant);
        ha = ha.encrypt(ka);
        hb = hb.encrypt(kb);
      }
      const V constant = V::round_constant(kRoundConstants[9]);
      ka = ka.next_key(constant);
      kb = kb.next_key(constant);
      ha = ha.encrypt_last(ka) ^ xa;
      hb = hb.encrypt_last(kb) ^ xb;
      const std::size_t rest = job.lanes - i;
      const V generator = V::load_bytes(table + 16 * i, rest);
      const V evaluator = V::load_bytes(evaluator_table + 16 * i, rest);
      const V out = ha ^ hb ^ generator.where_colour(a) ^ (evaluator ^ a).where_colour(b);
      out.store(out_row + i);
    }
    tweak += 2 * job.tweaks.stride;
    table += kTableBytes * job.lanes;
  }
}

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

template <class V>
void stream_loop(const RoundKeys& key, std::uint64_t first, Block* out, std::size_t count) {
  constexpr std::size_t kWide = 8;
  for (std::size_t i = 0; i < count; i += kWide * V::kBlocks) {
    V state[kWide];
    V round_key = V::broadcast(key.k[0]);
#pragma GCC unroll 16
    for (std::size_t j = 0; j < kWide; ++j) {
      state[j] = V::counters(first + i + j * V::kBlocks) ^ round_key;
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
