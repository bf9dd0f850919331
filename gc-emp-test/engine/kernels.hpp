#pragma once

#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "program.hpp"

namespace capc::gc {

/// Instances of a circuit that are garbled side by side: a slot is a row of this many labels.
constexpr std::size_t kLanes = 16;

enum class Path : std::uint8_t { Portable, AesNi, Vaes };

/// The fastest path that this processor runs.
[[nodiscard]] Path best_path();
[[nodiscard]] bool is_supported(Path path);
[[nodiscard]] const char* path_name(Path path);

struct alignas(64) RoundKeys {
  Block k[11];
};

/// The hash of both parties: H(x, t) = AES_{start ^ t}(sigma(x)) ^ sigma(x).
/// Gate g of lane i takes the tweaks first + 2 (g stride + i) and the next one; `first` is even.
struct TweakRange {
  Block start;
  std::uint64_t first;
  std::uint64_t stride;
};

/// Labels from one slot to the next in a block of `lanes` instances. Those of a lone instance stand
/// close together: in rows of kLanes they would share few sets of the first cache.
[[nodiscard]] constexpr std::size_t slot_stride(std::size_t lanes) {
  return lanes == 1 ? 1 : kLanes;
}

/// Labels are zero labels. Slot i begins at slots[i * slot_stride(lanes)] and has `lanes` labels in
/// use.
struct GarbleJob {
  const Op* ops;
  std::size_t op_count;
  Block* slots;
  std::size_t lanes;
  Block delta;
  TweakRange tweaks;
  std::uint8_t* tables;  // out: per AND gate, `lanes` generator rows, then as many evaluator rows
};

/// Labels are active labels.
struct EvaluateJob {
  const Op* ops;
  std::size_t op_count;
  Block* slots;
  std::size_t lanes;
  TweakRange tweaks;
  const std::uint8_t* tables;
};

/// A look-up table's transfers, of `count` instances: transfer i of instance n has the label
/// labels[i * stride + n]. choice_bits is 1 to 4.
struct TableLabels {
  const Block* labels;
  std::size_t stride;
  std::size_t choice_bits;
  std::size_t count;
};

constexpr std::size_t kTableBytes = 32;
constexpr std::size_t kLeaves = 16;        // of a seed tree, that leaf_sums adds: 2^4
constexpr std::size_t kUnitColumns = 512;  // transfers that one step of the extension makes
constexpr std::size_t kUnitBlocks = kUnitColumns / 128;
constexpr std::size_t kCodeWeight = 10;  // ones in a row of the silent transfers' matrix
constexpr std::size_t kCodeRows = 128;   // rows whose places are drawn together

/// The loops that need the processor's AES or carry-less products, one set for each Path.
struct Kernels {
  void (*garble)(const GarbleJob& job);
  void (*evaluate)(const EvaluateJob& job);
  /// out[i] = H(in[i], first + i) for i < count.
  void (*hash)(Block start, std::uint64_t first, const Block* in, Block* out, std::size_t count);
  void (*expand_key)(Block key, RoundKeys& out);
  /// out[i] = AES_key(first + i).
  void (*stream)(const RoundKeys& key, std::uint64_t first, Block* out, std::size_t count);
  /// out[i] = AES_key(kLanes * (first + i)): of rows of `stream`, the first lane's blocks.
  void (*stream_lane)(const RoundKeys& key, std::uint64_t first, Block* out, std::size_t count);
  /// With P_x the stream of leaf x from block first on: u = XOR of all P_x and, for each bit b,
  /// v[b] = XOR of the P_x with bit b of x set; `units` times kUnitBlocks blocks each.
  void (*leaf_sums)(const RoundKeys* leaves, std::uint64_t first, std::size_t units, Block* u,
                    Block* const v[4]);
  /// `units` * kUnitColumns columns of 128 rows, which stand `stride` blocks apart, to one block
  /// per column: bit i of out[c] is column c of row i.
  void (*transpose)(const Block* rows, std::size_t stride, std::size_t units, Block* out);
  /// out[r] = sum over j < count of coefficients[j] * rows[r * stride + j], for r < row_count, in
  /// GF(2)[x] / (x^128 + x^7 + x^2 + x + 1), bit i of a block being x^i. Coefficients are public,
  /// rows are not.
  void (*row_hashes)(const Block* rows, std::size_t stride, std::size_t row_count,
                     const Block* coefficients, std::size_t count, Block* out);
  /// out[r] = sum of the coefficients j < count for which the lowest bit of rows[r * stride + j] is
  /// 1, for r < row_count.
  void (*chosen_sums)(const Block* rows, std::size_t stride, std::size_t row_count,
                      const Block* coefficients, std::size_t count, Block* out);
  /// For i < width and x = nodes[i], with H(x) = AES_key(sigma(x)) ^ sigma(x): nodes[i] = H(x) and
  /// nodes[width + i] = x ^ H(x), less the bits that `keep` lacks. `left` is the sum of all H(x).
  void (*split)(const RoundKeys& key, Block* nodes, std::size_t width, Block keep, Block* left);
  /// nodes[place] = left and nodes[width + place] = right, in the same steps for every place.
  void (*plant)(Block* nodes, std::size_t width, std::uint64_t place, Block left, Block right);
  /// rows[i] ^= the sum of kCodeWeight of the `length` secrets, for i < count. Which ones they are
  /// is the key stream under `code`, at the place of row `first` + i: public, and the same at both
  /// parties. Both `first` and `count` are multiples of kCodeRows.
  void (*code_rows)(const RoundKeys& code, std::uint64_t first, std::size_t count,
                    const Block* secrets, std::uint32_t length, Block* rows);
  /// out[n] = sum of x^i times label i of instance n, in the field of row_hashes.
  void (*polynomials)(const TableLabels& table, Block* out);
  /// Bit p of in[i].lo as bit i of out[p], for p < bits and i < count, which is at most 64.
  void (*low_bits)(const Block* in, std::size_t count, std::size_t bits, std::uint64_t* out);
  /// With Q the polynomial of instance n, and its tweak tweaks.first + n: of the 2^choice_bits pads
  /// H(Q ^ multiples[j]), bit i as bit 8 i + j of out[n], for i < 4; of 16 pads bit i as bit 16 i +
  /// j, for i < 2.
  void (*node_pads)(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                    std::uint32_t* out);
  /// Of all pads, with one or two choice bits, the lower halves: out[2^choice_bits n + j].
  void (*number_pads)(const TableLabels& table, const TweakRange& tweaks, const Block* multiples,
                      std::uint64_t* out);
  /// out[i] = AES_{keys[i]}(in[i]): for the published test vectors.
  void (*encrypt)(const Block* keys, const Block* in, Block* out, std::size_t count);
};

/// Throws UsageError where the processor lacks the path.
[[nodiscard]] const Kernels& kernels_of(Path path);

}  // namespace capc::gc
