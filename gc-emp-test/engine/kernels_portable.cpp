#include <algorithm>
#include <cstring>

#include "bitsliced_aes.hpp"
#include "kernels_paths.hpp"
#include "transpose.hpp"

namespace capc::gc {
namespace {

using Row = Block[kLanes];
static_assert(kLanes == bitsliced::kBlocks);

/// hashes[j][i] = AES_{keys[i]}(x[j][i]) ^ x[j][i], x being sigma of the labels.
template <std::size_t kTexts>
void hash_rows(const Row& keys, const std::array<const Block*, kTexts>& x,
               const std::array<Block*, kTexts>& hashes) {
  bitsliced::encrypt<kTexts>(keys, x, hashes);
  for (std::size_t j = 0; j < kTexts; ++j) {
    for (std::size_t i = 0; i < kLanes; ++i) hashes[j][i] ^= x[j][i];
  }
}

void gate_keys(const TweakRange& tweaks, std::uint64_t tweak, Row& even, Row& odd) {
  for (std::size_t i = 0; i < kLanes; ++i) {
    even[i] = Block{tweak + 2 * i, 0} ^ tweaks.start;
    odd[i] = Block{1, 0} ^ even[i];
  }
}

void garble_and(const GarbleJob& job, const Op& op, std::uint64_t tweak, std::uint8_t* table) {
  const Block* a_row = job.slots + op.a * slot_stride(job.lanes);
  const Block* b_row = job.slots + op.b * slot_stride(job.lanes);
  Block* out_row = job.slots + op.out * slot_stride(job.lanes);
  const Block sigma_delta = sigma(job.delta);
  Row ka, kb, xa0{}, xa1{}, xb0{}, xb1{}, ha0, ha1, hb0, hb1;
  gate_keys(job.tweaks, tweak, ka, kb);
  for (std::size_t i = 0; i < job.lanes; ++i) {
    xa0[i] = sigma(a_row[i] ^ select(op.invert_a, job.delta));
    xb0[i] = sigma(b_row[i] ^ select(op.invert_b, job.delta));
    xa1[i] = xa0[i] ^ sigma_delta;
    xb1[i] = xb0[i] ^ sigma_delta;
  }
  hash_rows<2>(ka, {xa0, xa1}, {ha0, ha1});
  hash_rows<2>(kb, {xb0, xb1}, {hb0, hb1});
  for (std::size_t i = 0; i < job.lanes; ++i) {
    const Block a0 = a_row[i] ^ select(op.invert_a, job.delta);
    const Block b0 = b_row[i] ^ select(op.invert_b, job.delta);
    const Block generator = ha0[i] ^ ha1[i] ^ select(b0.colour(), job.delta);
    const Block hashes = hb0[i] ^ hb1[i];
    const Block evaluator = hashes ^ a0;
    out_row[i] = ha0[i] ^ hb0[i] ^ select(a0.colour(), generator) ^ select(b0.colour(), hashes);
    std::memcpy(table + 16 * i, &generator, 16);
    std::memcpy(table + 16 * (job.lanes + i), &evaluator, 16);
  }
}

void evaluate_and(const EvaluateJob& job, const Op& op, std::uint64_t tweak,
                  const std::uint8_t* table) {
  const Block* a_row = job.slots + op.a * slot_stride(job.lanes);
  const Block* b_row = job.slots + op.b * slot_stride(job.lanes);
  Block* out_row = job.slots + op.out * slot_stride(job.lanes);
  Row ka, kb, xa{}, xb{}, ha, hb;
  gate_keys(job.tweaks, tweak, ka, kb);
  for (std::size_t i = 0; i < job.lanes; ++i) {
    xa[i] = sigma(a_row[i]);
    xb[i] = sigma(b_row[i]);
  }
  hash_rows<1>(ka, {xa}, {ha});
  hash_rows<1>(kb, {xb}, {hb});
  for (std::size_t i = 0; i < job.lanes; ++i) {
    Block generator;
    Block evaluator;
    std::memcpy(&generator, table + 16 * i, 16);
    std::memcpy(&evaluator, table + 16 * (job.lanes + i), 16);
    const Block a = a_row[i];
    out_row[i] =
        ha[i] ^ hb[i] ^ select(a.colour(), generator) ^ select(b_row[i].colour(), evaluator ^ a);
  }
}

template <class Job, class And>
void run_ops(const Job& job, And gate) {
  for (const Op* op = job.ops; op != job.ops + job.op_count; ++op) {
    if (op->is_and) {
      gate(job, *op, job.tweaks.first + 2 * op->gate * job.tweaks.stride,
           job.tables + op->gate * kTableBytes * job.lanes);
      continue;
    }
    const Block* a_row = job.slots + op->a * slot_stride(job.lanes);
    const Block* b_row = job.slots + op->b * slot_stride(job.lanes);
    Block* out_row = job.slots + op->out * slot_stride(job.lanes);
    for (std::size_t i = 0; i < job.lanes; ++i) out_row[i] = a_row[i] ^ b_row[i];
  }
}

void garble(const GarbleJob& job) { run_ops(job, garble_and); }
void evaluate(const EvaluateJob& job) { run_ops(job, evaluate_and); }

void encrypt(const Block* keys, const Block* in, Block* out, std::size_t count) {
  for (std::size_t i = 0; i < count; i += kLanes) {
    const std::size_t n = std::min(kLanes, count - i);
    Row key{};
    Row text{};
    Row result;
    std::copy_n(keys + i, n, key);
    std::copy_n(in + i, n, text);
    bitsliced::encrypt<1>(key, {text}, {result});
    std::copy_n(result, n, out + i);
  }
}

void hash(Block start, std::uint64_t first, const Block* in, Block* out, std::size_t count) {
  for (std::size_t i = 0; i < count; i += kLanes) {
    const std::size_t n = std::min(kLanes, count - i);
    Row keys{};
    Row x{};
    Row result;
    for (std::size_t j = 0; j < n; ++j) {
      keys[j] = Block{first + i + j, 0} ^ start;
      x[j] = sigma(in[i + j]);
    }
    hash_rows<1>(keys, {x}, {result});
    std::copy_n(result, n, out + i);
  }
}

void expand_key(Block key, RoundKeys& out) {
  const Row keys = {key};
  bitsliced::State state = bitsliced::pack(keys);
  out.k[0] = key;
  for (std::size_t round = 0; round < 10; ++round) {
    bitsliced::next_key(state, bitsliced::kRoundConstants[round]);
    Row row;
    bitsliced::unpack(state, row);
    out.k[round + 1] = row[0];
  }
}

/// out[i] = AES_key(step * (first + i)).
void stream_in_steps(const RoundKeys& key, std::uint64_t first, std::uint64_t step, Block* out,
                     std::size_t count) {
  Row keys;
  std::fill_n(keys, kLanes, key.k[0]);
  for (std::size_t i = 0; i < count; i += kLanes) {
    const std::size_t n = std::min(kLanes, count - i);
    Row counters;
    Row result;
    for (std::size_t j = 0; j < kLanes; ++j) counters[j] = {step * (first + i + j), 0};
    bitsliced::encrypt<1>(keys, {counters}, {result});
    std::copy_n(result, n, out + i);
  }
}

void stream(const RoundKeys& key, std::uint64_t first, Block* out, std::size_t count) {
  stream_in_steps(key, first, 1, out, count);
}

void stream_lane(const RoundKeys& key, std::uint64_t first, Block* out, std::size_t count) {
  stream_in_steps(key, first, kLanes, out, count);
}

void leaf_sums(const RoundKeys* leaves, std::uint64_t first, std::size_t units, Block* u,
               Block* const v[4]) {
  for (std::size_t i = 0; i < units * kUnitBlocks; i += kUnitBlocks) {
    Block leaf[kLeaves][kUnitBlocks];
    for (std::size_t x = 0; x < kLeaves; ++x) stream(leaves[x], first + i, leaf[x], kUnitBlocks);
    for (std::size_t j = 0; j < kUnitBlocks; ++j) {
      Block sums[5] = {};
      for (std::size_t x = 0; x < kLeaves; ++x) {
        sums[4] ^= leaf[x][j];
        for (std::size_t bit = 0; bit < 4; ++bit) sums[bit] ^= select(x >> bit, leaf[x][j]);
      }
      u[i + j] = sums[4];
      for (std::size_t bit = 0; bit < 4; ++bit) v[bit][i + j] = sums[bit];
    }
  }
}

/// Horner's rule over the coefficients' bits: rows are only added and shifted.
void row_hashes(const Block* rows, std::size_t stride, std::size_t row_count,
                const Block* coefficients, std::size_t count, Block* out) {
  for (std::size_t r = 0; r < row_count; ++r) {
    Block sum{};
    for (std::size_t bit = 128; bit-- > 0;) {
      sum = times_x(sum);
      for (std::size_t j = 0; j < count; ++j) {
        const std::uint64_t half = bit < 64 ? coefficients[j].lo : coefficients[j].hi;
        sum ^= select(half >> (bit % 64), rows[r * stride + j]);
      }
    }
    out[r] = sum;
  }
}

void chosen_sums(const Block* rows, std::size_t stride, std::size_t row_count,
                 const Block* coefficients, std::size_t count, Block* out) {
  for (std::size_t r = 0; r < row_count; ++r) {
    out[r] = {};
    for (std::size_t j = 0; j < count; ++j) {
      out[r] ^= select(rows[r * stride + j].lo, coefficients[j]);
    }
  }
}

void split(const RoundKeys& key, Block* nodes, std::size_t width, Block keep, Block* left) {
  Row keys;
  std::fill_n(keys, kLanes, key.k[0]);
  *left = {};
  for (std::size_t i = 0; i < width; i += kLanes) {
    const std::size_t n = std::min(kLanes, width - i);
    Row x{};
    Row result;
    for (std::size_t j = 0; j < n; ++j) x[j] = sigma(nodes[i + j]);
    hash_rows<1>(keys, {x}, {result});
    for (std::size_t j = 0; j < n; ++j) {
      *left ^= result[j];
      nodes[width + i + j] = (nodes[i + j] ^ result[j]) & keep;
      nodes[i + j] = result[j] & keep;
    }
  }
}

void plant(Block* nodes, std::size_t width, std::uint64_t place, Block left, Block right) {
  for (std::size_t i = 0; i < width; ++i) {
    const std::uint64_t difference = i ^ place;
    const std::uint64_t same = ~(difference | (std::uint64_t{0} - difference)) >> 63U;
    nodes[i] ^= select(same, nodes[i] ^ left);
    nodes[width + i] ^= select(same, nodes[width + i] ^ right);
  }
}

void code_rows(const RoundKeys& code, std::uint64_t first, std::size_t count, const Block* secrets,
               std::uint32_t length, Block* rows) {
  constexpr std::size_t kPlaces = kCodeRows * kCodeWeight;
  constexpr std::size_t kStream = kPlaces * sizeof(std::uint32_t) / sizeof(Block);
  Block places[kStream];
  for (std::size_t row = 0; row < count; row += kCodeRows) {
    stream(code, (first + row) / kCodeRows * kStream, places, kStream);
    for (std::size_t i = 0; i < kPlaces; ++i) {
      std::uint32_t place;
      std::memcpy(&place, reinterpret_cast<const std::uint8_t*>(places) + i * sizeof place,
                  sizeof place);
      rows[row + i / kCodeWeight] ^= secrets[place * std::uint64_t{length} >> 32U];
    }
  }
}

void polynomials(const TableLabels& table, Block* out) {
  for (std::size_t n = 0; n < table.count; ++n) {
    Block sum = table.labels[(table.choice_bits - 1) * table.stride + n];
    for (std::size_t i = table.choice_bits - 1; i-- > 0;) {
      sum = times_x(sum) ^ table.labels[i * table.stride + n];
    }
    out[n] = sum;
  }
}

void low_bits(const Block* in, std::size_t count, std::size_t bits, std::uint64_t* out) {
  for (std::size_t p = 0; p < bits; ++p) {
    out[p] = 0;
    for (std::size_t i = 0; i < count; ++i) out[p] |= (in[i].lo >> p & 1U) << i;
  }
}

/// `work(j, n, pad)` for every entry j of every instance n.
template <class Work>
void for_each_pad(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                  Work work) {
  for (std::size_t first = 0; first < table.count; first += kLanes) {
    const std::size_t some = std::min(kLanes, table.count - first);
    Row sums;
    polynomials({table.labels + first, table.stride, table.choice_bits, some}, sums);
    for (std::size_t j = 0; j < std::size_t{1} << table.choice_bits; ++j) {
      Row pads;
      for (std::size_t n = 0; n < some; ++n) pads[n] = sums[n] ^ multiples[j];
      hash(tweaks.start, tweaks.first + first, pads, pads, some);
      for (std::size_t n = 0; n < some; ++n) work(j, first + n, pads[n].lo);
    }
  }
}

void node_pads(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
               std::uint32_t* out) {
  const std::size_t plane_bits = table.choice_bits > 3 ? 16 : 8;
  std::fill_n(out, table.count, std::uint32_t{0});
  for_each_pad(table, tweaks, multiples, [&](std::size_t j, std::size_t n, std::uint64_t pad) {
    for (std::size_t i = 0; i < 32 / plane_bits; ++i) {
      out[n] |= static_cast<std::uint32_t>((pad >> i & 1U) << (plane_bits * i + j));
    }
  });
}

void number_pads(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                 std::uint64_t* out) {
  const std::size_t entries = std::size_t{1} << table.choice_bits;
  for_each_pad(table, tweaks, multiples, [&](std::size_t j, std::size_t n, std::uint64_t pad) {
    out[entries * n + j] = pad;
  });
}

constexpr Kernels kKernels = {garble,      evaluate,    hash,           expand_key,  stream,
                              stream_lane, leaf_sums,   transpose_rows, row_hashes,  chosen_sums,
                              split,       plant,       code_rows,      polynomials, low_bits,
                              node_pads,   number_pads, encrypt};

}  // namespace

const Kernels& portable_kernels() { return kKernels; }

}  // namespace capc::gc
