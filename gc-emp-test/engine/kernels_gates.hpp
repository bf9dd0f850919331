#pragma once

#include <cstring>

#include "kernels_simd.hpp"

// Garbling and evaluation over a vector type, as kernels_simd.hpp has it. Instances of a circuit
// stand side by side in a vector; where there is one alone, gates that need nothing of each other.
namespace capc::gc {
namespace {

/// The rows of an AND gate, and the label of its output.
template <class V>
struct GarbledAnd {
  V generator;
  V evaluator;
  V out;
};

/// Zahur, Rosulek and Evans, "Two halves make a whole", figure 2. `ka` is the key of the first
/// hash.
template <class V>
[[gnu::always_inline]] inline GarbledAnd<V> garble_and(V a0, V b0, V ka, V delta, V sigma_delta) {
  const V xa0 = a0.sigma();
  const V xa1 = xa0 ^ sigma_delta;
  const V xb0 = b0.sigma();
  const V xb1 = xb0 ^ sigma_delta;
  V kb = ka ^ V::broadcast({1, 0});
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
  return {generator, hashes ^ a0, ha0 ^ hb0 ^ generator.where_colour(a0) ^ hashes.where_colour(b0)};
}

template <class V>
[[gnu::always_inline]] inline V evaluate_and(V a, V b, V ka, V generator, V evaluator) {
  const V xa = a.sigma();
  const V xb = b.sigma();
  V kb = ka ^ V::broadcast({1, 0});
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
  return ha ^ hb ^ generator.where_colour(a) ^ (evaluator ^ a).where_colour(b);
}

/// The gates abreast from `op` on as they stand in a vector; past the last of them, that one again.
template <class V>
struct Abreast {
  static_assert(V::kBlocks == kAbreast);

  Abreast(const Op* first, const TweakRange& range) : count(first->abreast), ops(first) {
    for (std::size_t j = 0; j < kAbreast; ++j) {
      const Op& op = at(j);
      tweaks[j] = range.first + std::uint64_t{2} * op.gate * range.stride;
    }
  }
  [[nodiscard]] const Op& at(std::size_t j) const { return ops[j < count ? j : count - 1]; }
  /// The vector of what `of` says for each gate.
  template <class Of>
  [[nodiscard]] V gather(Of of) const {
    return V::gather(of(at(0)), of(at(1)), of(at(2)), of(at(3)));
  }
  [[nodiscard]] V keys(V start) const { return start ^ V::numbers(tweaks); }

  std::size_t count;
  const Op* ops;
  std::uint64_t tweaks[kAbreast];
};

template <class V>
[[gnu::always_inline]] inline void garble_abreast(const GarbleJob& job, const Op* op, V delta,
                                                  V sigma_delta, V start) {
  const Block flips[2] = {{}, job.delta};
  const Abreast<V> gates(op, job.tweaks);
  const V a0 = gates.gather([&](const Op& o) { return job.slots + o.a * kLanes; }) ^
               gates.gather([&](const Op& o) { return flips + o.invert_a; });
  const V b0 = gates.gather([&](const Op& o) { return job.slots + o.b * kLanes; }) ^
               gates.gather([&](const Op& o) { return flips + o.invert_b; });
  const GarbledAnd<V> garbled = garble_and(a0, b0, gates.keys(start), delta, sigma_delta);
  Block generator[kAbreast], evaluator[kAbreast], out[kAbreast];
  garbled.generator.store(generator);
  garbled.evaluator.store(evaluator);
  garbled.out.store(out);
  for (std::size_t j = 0; j < gates.count; ++j) {
    std::uint8_t* const table = job.tables + op[j].gate * kTableBytes;
    std::memcpy(table, &generator[j], sizeof(Block));
    std::memcpy(table + sizeof(Block), &evaluator[j], sizeof(Block));
    job.slots[op[j].out * kLanes] = out[j];
  }
}

template <class V>
[[gnu::always_inline]] inline void evaluate_abreast(const EvaluateJob& job, const Op* op, V start) {
  const Abreast<V> gates(op, job.tweaks);
  const auto rows = [&](std::size_t at) {
    return gates.gather([&](const Op& o) { return job.tables + o.gate * kTableBytes + at; });
  };
  const V a = gates.gather([&](const Op& o) { return job.slots + o.a * kLanes; });
  const V b = gates.gather([&](const Op& o) { return job.slots + o.b * kLanes; });
  Block out[kAbreast];
  evaluate_and(a, b, gates.keys(start), rows(0), rows(sizeof(Block))).store(out);
  for (std::size_t j = 0; j < gates.count; ++j) job.slots[op[j].out * kLanes] = out[j];
}

template <class V>
[[gnu::always_inline]] inline void xor_row(const Op& op, Block* slots, std::size_t lanes) {
  const Block* const a = slots + op.a * kLanes;
  const Block* const b = slots + op.b * kLanes;
  Block* const out = slots + op.out * kLanes;
  if (lanes == 1) {
    // As wide as a gate abreast reads and writes it: else the one waits for the other.
    V::xor_block(a, b, out);
    return;
  }
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
  for (const Op* op = job.ops; op != job.ops + job.op_count; ++op) {
    if (!op->is_and) {
      xor_row<V>(*op, job.slots, lanes);
      continue;
    }
    if constexpr (V::kBlocks == kAbreast) {
      if (lanes == 1) {
        garble_abreast(job, op, delta, sigma_delta, start);
        op += op->abreast - 1;
        continue;
      }
    }
    const Block* const a_row = job.slots + op->a * kLanes;
    const Block* const b_row = job.slots + op->b * kLanes;
    Block* const out_row = job.slots + op->out * kLanes;
    const V flip_a = op->invert_a ? delta : V::zero();
    const V flip_b = op->invert_b ? delta : V::zero();
    const std::uint64_t tweak = job.tweaks.first + std::uint64_t{2} * op->gate * job.tweaks.stride;
    std::uint8_t* const table = job.tables + op->gate * kTableBytes * lanes;
    std::uint8_t* const evaluator_table = table + 16 * lanes;
    for (std::size_t i = 0; i < lanes; i += V::kBlocks) {
      const V a0 = V::load(a_row + i) ^ flip_a;
      const V b0 = V::load(b_row + i) ^ flip_b;
      const GarbledAnd<V> garbled =
          garble_and(a0, b0, start ^ V::tweaks(tweak + 2 * i), delta, sigma_delta);
      garbled.generator.store_bytes(table + 16 * i, lanes - i);
      garbled.evaluator.store_bytes(evaluator_table + 16 * i, lanes - i);
      garbled.out.store(out_row + i);
    }
  }
}

template <class V>
void evaluate_loop(const EvaluateJob& job) {
  const V start = V::broadcast(job.tweaks.start);
  const std::size_t lanes = job.lanes;
  for (const Op* op = job.ops; op != job.ops + job.op_count; ++op) {
    if (!op->is_and) {
      xor_row<V>(*op, job.slots, lanes);
      continue;
    }
    if constexpr (V::kBlocks == kAbreast) {
      if (lanes == 1) {
        evaluate_abreast(job, op, start);
        op += op->abreast - 1;
        continue;
      }
    }
    const Block* const a_row = job.slots + op->a * kLanes;
    const Block* const b_row = job.slots + op->b * kLanes;
    Block* const out_row = job.slots + op->out * kLanes;
    const std::uint64_t tweak = job.tweaks.first + std::uint64_t{2} * op->gate * job.tweaks.stride;
    const std::uint8_t* const table = job.tables + op->gate * kTableBytes * lanes;
    const std::uint8_t* const evaluator_table = table + 16 * lanes;
    for (std::size_t i = 0; i < lanes; i += V::kBlocks) {
      const V a = V::load(a_row + i);
      const V b = V::load(b_row + i);
      const V generator = V::load_bytes(table + 16 * i, lanes - i);
      const V evaluator = V::load_bytes(evaluator_table + 16 * i, lanes - i);
      evaluate_and(a, b, start ^ V::tweaks(tweak + 2 * i), generator, evaluator).store(out_row + i);
    }
  }
}

}  // namespace
}  // namespace capc::gc
