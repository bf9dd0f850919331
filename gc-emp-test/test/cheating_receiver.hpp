#pragma once

#include <array>
#include <cstring>

#include "base_ot.hpp"
#include "ot_extension.hpp"
#include "pair.hpp"
#include "session_core.hpp"

namespace capc::gc::test {

[[nodiscard]] inline unsigned nibble_of(Block delta, std::size_t tree) {
  const std::uint64_t half = tree < 16 ? delta.lo : delta.hi;
  return static_cast<unsigned>(half >> (4 * (tree % 16))) & 15U;
}

/// Δ with `nibble` at one tree's place and nothing elsewhere.
[[nodiscard]] inline Block at_tree(std::size_t tree, std::uint64_t nibble) {
  const std::uint64_t half = nibble << (4 * (tree % 16));
  return tree < 16 ? Block{half, 0} : Block{0, half};
}

/// The evaluator's side of the transfers, built from the engine's parts, that may choose otherwise
/// in each tree and answer the check as if it knew Δ's nibbles.
class CheatingReceiver {
 public:
  CheatingReceiver(const Digest& session, const SecretArray<Block>& zero_keys,
                   const SecretArray<Block>& one_keys, Bytes tree_message)
      : leaves_(grow_trees(kernels_, session, zero_keys, one_keys, tree_message)) {}

  /// Up to 128 transfers. Tree i chooses lies[i]; the check claims choices of 0.
  void correct(const std::array<Block, kTrees>& lies, Bytes corrections, Block* labels) {
    lies_ = lies;
    for (std::size_t tree = 0; tree < kTrees; ++tree) {
      Block* const first = rows_.data() + tree * kTreeDepth * kUnitBlocks;
      Block* const v[4] = {first, first + kUnitBlocks, first + 2 * kUnitBlocks,
                           first + 3 * kUnitBlocks};
      Block u[kUnitBlocks];
      kernels_.leaf_sums(&leaves_[tree * kLeaves], next_block_, 1, u, v);
      u[0] ^= lies[tree];
      u[1] ^= mask_;
      std::memcpy(corrections.data() + tree * kRowBytes, u, kRowBytes);
    }
    next_block_ += kUnitBlocks;
    kernels_.transpose(rows_.data(), kUnitBlocks, 1, labels);
  }

  /// An answer that holds if Δ has the guessed nibble in each tree that lied.
  void prove(const Digest& challenge, Block guesses, Bytes check) const {
    const RowHash hash(kernels_, challenge, 2);
    std::array<Block, kTrees * kTreeDepth> rows;
    hash(rows_.data(), kUnitBlocks, rows.size(), rows.data());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Block lie[2] = {lies_[i / kTreeDepth], {}};
      Block hashed;
      hash(lie, 2, 1, &hashed);
      rows[i] ^= select(nibble_of(guesses, i / kTreeDepth) >> (i % kTreeDepth), hashed);
    }
    Writer out(check);
    out.value(mask_);
    out.value(digest_of_rows(Sha256(), challenge,
                             {reinterpret_cast<const std::uint8_t*>(rows.data()), sizeof rows}));
  }

 private:
  static constexpr std::size_t kRowBytes = 2 * sizeof(Block);

  const Kernels& kernels_ = kernels_of(best_path());
  SecretArray<RoundKeys> leaves_;
  SecretArray<Block> rows_{kTrees * kTreeDepth * kUnitBlocks};
  std::array<Block, kTrees> lies_{};
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
    receiver_ = std::make_unique<CheatingReceiver>(transcript_, zero, one,
                                                   trees_out.take(kTreeMessageBytes));
    transcript_ = setup_digest(Sha256(), transcript_, trees);
    garbler.setup_finish(trees);
  }

  /// The Choice message of a first batch of one chunk, and the labels of choices of 0.
  [[nodiscard]] Message choose(const BatchLayout& layout, const Circuit& circuit,
                               const std::array<Block, kTrees>& lies, Block guesses) {
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
