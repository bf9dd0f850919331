#pragma once

#include <cstring>

#include "kernels_simd.hpp"

// Garbling and evaluation over a vector type, as kernels_simd.hpp has it. Instances of a circuit
// stand side by side in a vector; where there is one alone, gates that need nothing of each other.
namespace capc::gc {
namespace {

/// Vectors of AND gates' rows, and of the labels of their outputs.
template <class V, std::size_t kVectors>
struct GarbledAnds {
  V generator[kVectors];
  V evaluator[kVectors];
  V out[kVectors];
};

/// Zahur, Rosulek and Evans, "Two halves make a whole", figure 2. `ka` are the keys of the first
/// hashes. Vectors go side by side: one waits for its AES while another goes on.
template <class V, std::size_t kVectors>
[[gnu::always_inline]] inline GarbledAnds<V, kVectors> garble_ands(const V (&a0)[kVectors],
                                                                   const V (&b0)[kVectors],
                                                                   V (&ka)[kVectors], V delta,
                                                                   V sigma_delta) {
  V kb[kVectors], ha0[kVectors], ha1[kVectors], hb0[kVectors], hb1[kVectors];
#pragma GCC unroll 2
  for (std::size_t v = 0; v < kVectors; ++v) {
    kb[v] = ka[v] ^ V::broadcast({1, 0});
    ha0[v] = a0[v].sigma() ^ ka[v];
    ha1[v] = ha0[v] ^ sigma_delta;
    hb0[v] = b0[v].sigma() ^ kb[v];
    hb1[v] = hb0[v] ^ sigma_delta;
  }
#pragma GCC unroll 10
  for (std::size_t r = 0; r < 9; ++r) {
    const V constant = V::round_constant(kRoundConstants[r]);
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) {
      ka[v] = ka[v].next_key(constant);
      kb[v] = kb[v].next_key(constant);
      ha0[v] = ha0[v].encrypt(ka[v]);
      ha1[v] = ha1[v].encrypt(ka[v]);
      hb0[v] = hb0[v].encrypt(kb[v]);
      hb1[v] = hb1[v].encrypt(kb[v]);
    }
  }
  const V constant = V::round_constant(kRoundConstants[9]);
  GarbledAnds<V, kVectors> garbled;
#pragma GCC unroll 2
  for (std::size_t v = 0; v < kVectors; ++v) {
    ka[v] = ka[v].next_key(constant);
    kb[v] = kb[v].next_key(constant);
    const V xa0 = a0[v].sigma();
    const V xb0 = b0[v].sigma();
    const V first = ha0[v].encrypt_last(ka[v]) ^ xa0;
    const V second = hb0[v].encrypt_last(kb[v]) ^ xb0;
    const V hashes = second ^ hb1[v].encrypt_last(kb[v]) ^ xb0 ^ sigma_delta;
    const V generator =
        first ^ ha1[v].encrypt_last(ka[v]) ^ xa0 ^ sigma_delta ^ delta.where_colour(b0[v]);
    garbled.generator[v] = generator;
    garbled.evaluator[v] = hashes ^ a0[v];
    garbled.out[v] = first ^ second ^ generator.where_colour(a0[v]) ^ hashes.where_colour(b0[v]);
  }
  return garbled;
}

/// The labels of the gates' outputs, in place of those of their first inputs.
template <class V, std::size_t kVectors>
[[gnu::always_inline]] inline void evaluate_ands(V (&a)[kVectors], const V (&b)[kVectors],
                                                 V (&ka)[kVectors], const V (&generator)[kVectors],
                                                 const V (&evaluator)[kVectors]) {
  V kb[kVectors], ha[kVectors], hb[kVectors];
#pragma GCC unroll 2
  for (std::size_t v = 0; v < kVectors; ++v) {
    kb[v] = ka[v] ^ V::broadcast({1, 0});
    ha[v] = a[v].sigma() ^ ka[v];
    hb[v] = b[v].sigma() ^ kb[v];
  }
#pragma GCC unroll 10
  for (std::size_t r = 0; r < 9; ++r) {
    const V constant = V::round_constant(kRoundConstants[r]);
#pragma GCC unroll 2
    for (std::size_t v = 0; v < kVectors; ++v) {
      ka[v] = ka[v].next_key(constant);
      kb[v] = kb[v].next_key(constant);
      ha[v] = ha[v].encrypt(ka[v]);
      hb[v] = hb[v].encrypt(kb[v]);
    }
  }
  const V constant = V::round_constant(kRoundConstants[9]);
#pragma GCC unroll 2
  for (std::size_t v = 0; v < kVectors; ++v) {
    const V first = ha[v].encrypt_last(ka[v].next_key(constant)) ^ a[v].sigma();
    const V second = hb[v].encrypt_last(kb[v].next_key(constant)) ^ b[v].sigma();
    a[v] =
        first ^ second ^ generator[v].where_colour(a[v]) ^ (evaluator[v] ^ a[v]).where_colour(b[v]);
  }
}

/// The gates abreast from `op` on as they stand in vectors; past the last of them, that one again.
template <class V, std::size_t kVectors>
struct Abreast {
  static constexpr std::size_t kGates = kVectors * V::kBlocks;

  Abreast(const Op* first, const TweakRange& range) : count(first->abreast), ops(first) {
    for (std::size_t j = 0; j < kGates; ++j) {
      tweaks[j] = range.first + std::uint64_t{2} * at(j).gate * range.stride;
    }
  }
  [[nodiscard]] const Op& at(std::size_t j) const { return ops[j < count ? j : count - 1]; }
  /// The vectors of what `of` says for each gate.
  template <class Of>
  void gather(V (&out)[kVectors], Of of) const {
    for (std::size_t v = 0; v < kVectors; ++v) {
      const std::size_t j = v * V::kBlocks;
      out[v] = V::gather(of(at(j)), of(at(j + 1)), of(at(j + 2)), of(at(j + 3)));
    }
  }
  void keys(V (&out)[kVectors], V start) const {
    for (std::size_t v = 0; v < kVectors; ++v) {
      out[v] = start ^ V::numbers(tweaks + v * V::kBlocks);
    }
  }

  std::size_t count;
  const Op* ops;
  std::uint64_t tweaks[kGates];
};

template <class V, std::size_t kVectors>
[[gnu::always_inline]] inline void garble_abreast(const GarbleJob& job, const Op* op, V delta,
                                                  V sigma_delta, V start) {
  const Block flips[2] = {{}, job.delta};
  const Abreast<V, kVectors> gates(op, job.tweaks);
  V a0[kVectors], b0[kVectors], flip[kVectors], keys[kVectors];
  gates.gather(a0, [&](const Op& o) { return job.slots + o.a; });
  gates.gather(flip, [&](const Op& o) { return flips + o.invert_a; });
  for (std::size_t v = 0; v < kVectors; ++v) a0[v] = a0[v] ^ flip[v];
  gates.gather(b0, [&](const Op& o) { return job.slots + o.b; });
  gates.gather(flip, [&](const Op& o) { return flips + o.invert_b; });
  for (std::size_t v = 0; v < kVectors; ++v) b0[v] = b0[v] ^ flip[v];
  gates.keys(keys, start);
  const GarbledAnds<V, kVectors> garbled = garble_ands(a0, b0, keys, delta, sigma_delta);
  Block generator[gates.kGates], evaluator[gates.kGates], out[gates.kGates];
  for (std::size_t v = 0; v < kVectors; ++v) {
    garbled.generator[v].store(generator + v * V::kBlocks);
    garbled.evaluator[v].store(evaluator + v * V::kBlocks);
    garbled.out[v].store(out + v * V::kBlocks);
  }
  for (std::size_t j = 0; j < gates.count; ++j) {
    std::uint8_t* const table = job.tables + op[j].gate * kTableBytes;
    std::memcpy(table, &generator[j], sizeof(Block));
    std::memcpy(table + sizeof(Block), &evaluator[j], sizeof(Block));
    job.slots[op[j].out] = out[j];
  }
}

template <class V, std::size_t kVectors>
[[gnu::always_inline]] inline void evaluate_abreast(const EvaluateJob& job, const Op* op, V start) {
  const Abreast<V, kVectors> gates(op, job.tweaks);
  V a[kVectors], b[kVectors], keys[kVectors], generator[kVectors], evaluator[kVectors];
  gates.gather(a, [&](const Op& o) { return job.slots + o.a; });
  gates.gather(b, [&](const Op& o) { return job.slots + o.b; });
  gates.gather(generator, [&](const Op& o) { return job.tables + o.gate * kTableBytes; });
  gates.gather(evaluator,
               [&](const Op& o) { return job.tables + o.gate * kTableBytes + sizeof(Block); });
  gates.keys(keys, start);
  evaluate_ands(a, b, keys, generator, evaluator);
  Block out[gates.kGates];
  for (std::size_t v = 0; v < kVectors; ++v) a[v].store(out + v * V::kBlocks);
  for (std::size_t j = 0; j < gates.count; ++j) job.slots[op[j].out] = out[j];
}

template <class V>
[[gnu::always_inline]] inline void xor_row(const Op& op, Block* slots, std::size_t lanes) {
  if (lanes == 1) {
    // As wide as a gate abreast reads and writes it: else the one waits for the other.
    V::xor_block(slots + op.a, slots + op.b, slots + op.out);
    return;
  }
  const Block* const a = slots + op.a * kLanes;
  const Block* const b = slots + op.b * kLanes;
  Block* const out = slots + op.out * kLanes;
  for (std::size_t i = 0; i < lanes; i += V::kBlocks) {
    (V::load(a + i) ^ V::load(b + i)).store(out + i);
  }
}

template <class V>
void garble_loop(const GarbleJob& job) {
  const V delta = V::broadcast(job.delta);
  const V sigma_delta = delta.sigma();
  const V start = V::broadcast(job.tweaks.start);
  const std::size_t lanes = job.lanes;
  const std::size_t stride = slot_stride(lanes);
  for (const Op* op = job.ops; op != job.ops + job.op_count; ++op) {
    if (!op->is_and) {
      xor_row<V>(*op, job.slots, lanes);
      continue;
    }
    if constexpr (2 * V::kBlocks == kAbreast) {
      if (lanes == 1) {
        if (op->abreast > V::kBlocks) {
          garble_abreast<V, 2>(job, op, delta, sigma_delta, start);
        } else {
          garble_abreast<V, 1>(job, op, delta, sigma_delta, start);
        }
        op += op->abreast - 1;
        continue;
      }
    }
    const Block* const a_row = job.slots + op->a * stride;
    const Block* const b_row = job.slots + op->b * stride;
    Block* const out_row = job.slots + op->out * stride;
    const V flip_a = op->invert_a ? delta : V::zero();
    const V flip_b = op->invert_b ? delta : V::zero();
    const std::uint64_t tweak = job.tweaks.first + std::uint64_t{2} * op->gate * job.tweaks.stride;
    std::uint8_t* const table = job.tables + op->gate * kTableBytes * lanes;
    std::uint8_t* const evaluator_table = table + 16 * lanes;
    for (std::size_t i = 0; i < lanes; i += V::kBlocks) {
      const V a0[] = {V::load(a_row + i) ^ flip_a};
      const V b0[] = {V::load(b_row + i) ^ flip_b};
      V keys[] = {start ^ V::tweaks(tweak + 2 * i)};
      const GarbledAnds<V, 1> garbled = garble_ands(a0, b0, keys, delta, sigma_delta);
      garbled.generator[0].store_bytes(table + 16 * i, lanes - i);
      garbled.evaluator[0].store_bytes(evaluator_table + 16 * i, lanes - i);
      garbled.out[0].store(out_row + i);
    }
  }
}

template <class V>
void evaluate_loop(const EvaluateJob& job) {
  const V start = V::broadcast(job.tweaks.start);
  const std::size_t lanes = job.lanes;
  const std::size_t stride = slot_stride(lanes);
  for (const Op* op = job.ops; op != job.ops + job.op_count; ++op) {
    if (!op->is_and) {
      xor_row<V>(*op, job.slots, lanes);
      continue;
    }
    if constexpr (2 * V::kBlocks == kAbreast) {
      if (lanes == 1) {
        if (op->abreast > V::kBlocks) {
          evaluate_abreast<V, 2>(job, op, start);
        } else {
          evaluate_abreast<V, 1>(job, op, start);
        }
        op += op->abreast - 1;
        continue;
      }
    }
    const Block* const a_row = job.slots + op->a * stride;
    const Block* const b_row = job.slots + op->b * stride;
    Block* const out_row = job.slots + op->out * stride;
    const std::uint64_t tweak = job.tweaks.first + std::uint64_t{2} * op->gate * job.tweaks.stride;
    const std::uint8_t* const table = job.tables + op->gate * kTableBytes * lanes;
    const std::uint8_t* const evaluator_table = table + 16 * lanes;
    for (std::size_t i = 0; i < lanes; i += V::kBlocks) {
      V a[] = {V::load(a_row + i)};
      const V b[] = {V::load(b_row + i)};
      V keys[] = {start ^ V::tweaks(tweak + 2 * i)};
      const V generator[] = {V::load_bytes(table + 16 * i, lanes - i)};
      const V evaluator[] = {V::load_bytes(evaluator_table + 16 * i, lanes - i)};
      evaluate_ands(a, b, keys, generator, evaluator);
      a[0].store(out_row + i);
    }
  }
}

}  // namespace
}  // namespace capc::gc
