#pragma once

#include <array>
#include <cstring>

#include "base_ot.hpp"
#include "ot_extension.hpp"
#include "pair.hpp"
#include "session_core.hpp"

namespace capc::gc::test {

/// The bits of Δ that name the leaf of a tree which the garbler lacks.
[[nodiscard]] inline std::uint64_t path_of(const TreeShape& shape, Block delta, std::size_t tree) {
  std::uint64_t path = 0;
  for (std::size_t bit = 0; bit < shape.depth; ++bit) {
    path |= bit_of(delta, tree * shape.depth + bit) << bit;
  }
  return path;
}

/// Δ with `path` at one tree's place and nothing elsewhere.
[[nodiscard]] inline Block at_tree(const TreeShape& shape, std::size_t tree, std::uint64_t path) {
  Block delta{};
  for (std::size_t bit = 0; bit < shape.depth; ++bit) {
    delta ^= select(path >> bit, one_bit(tree * shape.depth + bit));
  }
  return delta;
}

/// The evaluator's side of the transfers, built from the engine's parts, that may choose otherwise
/// in each tree and answer the check as if it knew bits of Δ.
class CheatingReceiver {
 public:
  CheatingReceiver(const TreeShape& shape, const Digest& session,
                   const SecretArray<Block>& zero_keys, const SecretArray<Block>& one_keys,
                   Bytes tree_message)
      : shape_(shape),
        sum_leaves_(shape),
        leaves_(grow_trees(kernels_, shape, session, zero_keys, one_keys, tree_message)) {}

  /// Up to 128 transfers. Tree i chooses lies[i]; the check claims choices of 0.
  void correct(const std::vector<Block>& lies, Bytes corrections, Block* labels) {
    lies_ = lies;
    for (std::size_t tree = 0; tree < shape_.trees(); ++tree) {
      Block u[kUnitBlocks];
      sum_leaves_(kernels_, &leaves_[tree * shape_.leaves()], next_block_, 1, u,
                  rows_.data() + tree * shape_.depth * kUnitBlocks, kUnitBlocks);
      u[0] ^= lies[tree];
      u[1] ^= mask_;
      std::memcpy(corrections.data() + tree * kRowBytes, u, kRowBytes);
    }
    next_block_ += kUnitBlocks;
    kernels_.transpose(rows_.data(), kUnitBlocks, 1, labels);
  }

  /// An answer that holds if Δ has the guessed bits in each tree that lied.
  void prove(const Digest& challenge, Block guesses, Bytes check) const {
    const RowHash hash(kernels_, challenge, 2);
    std::array<Block, kBaseTransfers> rows;
    hash(rows_.data(), kUnitBlocks, rows.size(), rows.data());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Block lie[2] = {lies_[i / shape_.depth], {}};
      Block hashed;
      hash(lie, 2, 1, &hashed);
      rows[i] ^= select(bit_of(guesses, i), hashed);
    }
    Writer out(check);
    out.value(mask_);
    out.value(digest_of_rows(Sha256(), challenge,
                             {reinterpret_cast<const std::uint8_t*>(rows.data()), sizeof rows}));
  }

 private:
  static constexpr std::size_t kRowBytes = 2 * sizeof(Block);

  const Kernels& kernels_ = kernels_of(best_path());
  TreeShape shape_;
  LeafSums sum_leaves_;
  SecretArray<RoundKeys> leaves_;
  SecretArray<Block> rows_{kBaseTransfers * kUnitBlocks};
  std::vector<Block> lies_;
  Block mask_ = random_value<Block>();
  std::uint64_t next_block_ = 0;
};

/// A session of one garbler with an evaluator that deviates.
class CheatingEvaluator {
 public:
  explicit CheatingEvaluator(GarblerSession& garbler) {
    BaseSender base;
    Message offer(kSetupOfferBytes), reply(kSetupChoiceBytes), trees(kSetupTreesBytes);
    Writer offer_out(offer);
    offer_out.value(setup_header(MessageType::SetupOffer));
    base.offer(offer_out.take(kPointBytes));
    garbler.setup_choose(offer, reply);
    Reader in(ConstBytes(reply).subspan(kHeaderBytes));
    start = in.value<Block>();
    SecretArray<Block> zero(kBaseTransfers), one(kBaseTransfers);
    base.keys(start, in.take(kBaseTransfers * kPointBytes), zero, one);
    transcript_ = setup_digest(Sha256(), offer, reply);
    Writer trees_out(trees);
    trees_out.value(setup_header(MessageType::SetupTrees));
    receiver_ = std::make_unique<CheatingReceiver>(kShallowTrees, transcript_, zero, one,
                                                   trees_out.take(kShallowTrees.message_bytes()));
    transcript_ = setup_digest(Sha256(), transcript_, trees);
    garbler.setup_finish(trees);
  }

  /// The Choice message of a first batch of one chunk, and the labels of choices of 0.
  [[nodiscard]] Message choose(const BatchLayout& layout, const Circuit& circuit,
                               const std::vector<Block>& lies, Block guesses) {
    Message message(layout.choice_bytes(0));
    Writer out(message);
    out.value(batch_header(MessageType::Choice, 0, layout, circuit, 0));
    receiver_->correct(lies, out.take(correction_bytes(layout.chunk_transfers(0))), labels.data());
    const ConstBytes said(message.data(), message.size() - kCheckBytes);
    receiver_->prove(check_challenge(Sha256(), transcript_, said), guesses, out.take(kCheckBytes));
    return message;
  }

  Block start;
  SecretArray<Block> labels{kUnitColumns};

 private:
  Digest transcript_{};
  std::unique_ptr<CheatingReceiver> receiver_;
};

}  // namespace capc::gc::test
