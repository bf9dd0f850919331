#pragma once

#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "consistency_check.hpp"
#include "kernels.hpp"
#include "secret.hpp"
#include "seed_trees.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// Correlated oblivious transfers, secure against an evaluator that deviates: Roy, "SoftSpokenOT",
// CRYPTO 2022, with k = 4 or k = 8 as the trees are deep: 16 / k bytes a transfer. The garbler's
// difference Δ is the correlation, so the outputs are wire labels: the evaluator's
// t_i = q_i ^ c_i Δ.

/// Blocks of one row: the transfers', and the check's mask.
[[nodiscard]] constexpr std::size_t correction_blocks(std::size_t transfers) {
  return (transfers + 127) / 128 + kMaskBlocks;
}
/// Bytes that the evaluator sends for so many transfers, and for their check after them.
[[nodiscard]] constexpr std::size_t correction_bytes(std::size_t transfers,
                                                     const TreeShape& shape = kShallowTrees) {
  return shape.trees() * correction_blocks(transfers) * sizeof(Block);
}
[[nodiscard]] constexpr std::size_t choice_body_bytes(std::size_t transfers,
                                                      const TreeShape& shape = kShallowTrees) {
  return correction_bytes(transfers, shape) + kCheckBytes;
}
/// Labels are made in steps of kUnitColumns: the size that the label arrays below must have. What
/// a step makes too many is dropped.
[[nodiscard]] constexpr std::size_t padded_transfers(std::size_t transfers) {
  return (transfers + kUnitColumns - 1) / kUnitColumns * kUnitColumns;
}

/// The rows of one tree, from its leaves' key streams P_x from a block on.
class LeafSums {
 public:
  explicit LeafSums(const TreeShape& shape);
  /// u = XOR of all P_x and, for each bit b, the row rows[b * stride] = XOR of the P_x with bit b
  /// of x set; `units` times kUnitBlocks blocks each.
  void operator()(const Kernels& kernels, const RoundKeys* leaves, std::uint64_t first,
                  std::size_t units, Block* u, Block* rows, std::size_t stride);

 private:
  void add_groups(const Kernels& kernels, const RoundKeys* leaves, std::uint64_t first,
                  std::size_t units, Block* u, Block* rows, std::size_t stride);

  std::size_t depth_;
  SecretArray<Block> group_;  // the sums of kLeaves leaves, over a few units
};

/// The evaluator's side: it knows every leaf and chooses.
class TransferReceiver {
 public:
  TransferReceiver(const Kernels& kernels, const TreeShape& shape, const Digest& session,
                   const SecretArray<Block>& zero_keys, const SecretArray<Block>& one_keys,
                   Bytes tree_message);

  [[nodiscard]] const TreeShape& shape() const { return shape_; }

  /// Corrections for the choice bits (bit i of block i / 128, unused bits zero) and the labels of
  /// the choices, padded_transfers of them.
  void correct(const Block* choices, std::size_t transfers, Bytes corrections, Block* labels);
  /// The check (kCheckBytes) of the transfers last corrected; `challenge` covers the corrections.
  void prove(const Digest& challenge, Bytes check);

 private:
  const Kernels* kernels_;
  TreeShape shape_;
  LeafSums sum_leaves_;
  Sha256 sha256_;
  SecretArray<RoundKeys> leaves_;
  std::uint64_t next_block_ = 0;
  SecretArray<Block> rows_;
  std::size_t blocks_ = 0;  // of a row that was corrected last and not proven yet
};

/// The garbler's side: of each tree it lacks the leaf that its bits of Δ name.
class TransferSender {
 public:
  /// ProtocolError where the trees do not fit their check.
  TransferSender(const Kernels& kernels, const TreeShape& shape, const Digest& session, Block delta,
                 const SecretArray<Block>& chosen_keys, ConstBytes tree_message);

  [[nodiscard]] const TreeShape& shape() const { return shape_; }

  /// Zero labels, padded_transfers of them, from the corrections. ProtocolError, and no labels,
  /// unless the check holds under the challenge.
  void extend(ConstBytes corrections, const Digest& challenge, ConstBytes check,
              std::size_t transfers, Block* labels);

  /// Which base keys to ask for: the side of the tree that Δ's path does not take.
  [[nodiscard]] static Block base_choices(Block delta) { return Block{~0ULL, ~0ULL} ^ delta; }

 private:
  void require_consistent(const Digest& challenge, ConstBytes check, std::size_t blocks) const;

  const Kernels* kernels_;
  TreeShape shape_;
  LeafSums sum_leaves_;
  Sha256 sha256_;
  Secret<Block> delta_;
  SecretArray<RoundKeys> leaves_;
  std::uint64_t next_block_ = 0;
  SecretArray<Block> rows_;
};

}  // namespace capc::gc
