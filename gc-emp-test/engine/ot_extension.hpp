#pragma once

#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "kernels.hpp"
#include "secret.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// Correlated oblivious transfers, semi-honest: Roy, "SoftSpokenOT", CRYPTO 2022, with
// k = 4: 32 trees of 16 leaves, 4 bytes a transfer. The garbler's difference Δ is the
// correlation, so the outputs are wire labels: the evaluator's t_i = q_i ^ c_i Δ.

constexpr std::size_t kTreeDepth = 4;
constexpr std::size_t kTrees = 32;
constexpr std::size_t kTreeMessageBytes = kTrees * kTreeDepth * 2 * sizeof(Block);

/// Transfers are made in steps of this many columns; what a step makes too many is dropped.
[[nodiscard]] constexpr std::size_t units_for(std::size_t transfers) {
  return (transfers + kUnitColumns - 1) / kUnitColumns;
}
[[nodiscard]] constexpr std::size_t correction_blocks(std::size_t transfers) {
  return (transfers + 127) / 128;
}
/// Bytes that the evaluator sends for so many transfers.
[[nodiscard]] constexpr std::size_t correction_bytes(std::size_t transfers) {
  return kTrees * correction_blocks(transfers) * sizeof(Block);
}
/// Size that the label arrays below must have.
[[nodiscard]] constexpr std::size_t padded_transfers(std::size_t transfers) {
  return units_for(transfers) * kUnitColumns;
}

/// The evaluator's side: it knows every leaf and chooses.
class TransferReceiver {
 public:
  TransferReceiver(const Kernels& kernels, const SecretArray<Block>& zero_keys,
                   const SecretArray<Block>& one_keys, Bytes tree_message);

  /// Corrections for the choice bits (bit i of block i / 128; units_for * kUnitBlocks blocks,
  /// unused bits zero) and the labels of the choices, padded_transfers of them.
  void extend(const Block* choices, std::size_t transfers, Bytes corrections, Block* labels);

 private:
  const Kernels* kernels_;
  SecretArray<RoundKeys> leaves_;
  std::uint64_t next_block_ = 0;
  SecretArray<Block> rows_;
};

/// The garbler's side: of each tree it lacks the leaf that its four bits of Δ name.
class TransferSender {
 public:
  TransferSender(const Kernels& kernels, Block delta, const SecretArray<Block>& chosen_keys,
                 ConstBytes tree_message);

  /// Zero labels, padded_transfers of them, from the corrections.
  void extend(ConstBytes corrections, std::size_t transfers, Block* labels);

  /// Which base keys to ask for: the side of the tree that Δ's path does not take.
  [[nodiscard]] static Block base_choices(Block delta) { return Block{~0ULL, ~0ULL} ^ delta; }

 private:
  const Kernels* kernels_;
  Block delta_;
  SecretArray<RoundKeys> leaves_;  // leaf y of a tree is its leaf y ^ (four bits of Δ); none at 0
  std::uint64_t next_block_ = 0;
  SecretArray<Block> rows_;
};

}  // namespace capc::gc
