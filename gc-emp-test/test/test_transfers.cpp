// Base oblivious transfers, seed trees and the extension: q_i = t_i ^ c_i delta, no pad used twice,
// and what a receiver that deviates passes with.

#include <algorithm>
#include <set>

#include "base_ot.hpp"
#include "cheating_receiver.hpp"
#include "check.hpp"
#include "errors.hpp"
#include "kernels.hpp"
#include "ot_extension.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

struct BaseKeys {
  SecretArray<Block> zero{kBaseTransfers};
  SecretArray<Block> one{kBaseTransfers};
  SecretArray<Block> chosen{kBaseTransfers};
};

const Block kSession{1, 2};
const Digest kTranscript{3, 4, 5};

BaseKeys run_base(Block choices, Block session_of_receiver = kSession) {
  BaseKeys keys;
  BaseSender sender;
  BaseReceiver receiver;
  std::vector<std::uint8_t> offer(kPointBytes), points(kBaseTransfers * kPointBytes);
  sender.offer(offer);
  receiver.choose(offer, session_of_receiver, choices, points);
  receiver.keys(keys.chosen);
  sender.keys(kSession, points, keys.zero, keys.one);
  return keys;
}

void base_transfers() {
  const Block choices{0x123456789abcdef1, 0xfedcba9876543210};
  const BaseKeys keys = run_base(choices);
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    const bool bit = (((i < 64 ? choices.lo : choices.hi) >> (i % 64)) & 1) != 0;
    CHECK(keys.chosen[i] == (bit ? keys.one[i] : keys.zero[i]));
    seen.insert({keys.zero[i].lo, keys.zero[i].hi});
    seen.insert({keys.one[i].lo, keys.one[i].hi});
  }
  CHECK(seen.size() == 2 * kBaseTransfers);
  // Keys belong to a session: with another one at the other end none of them fits.
  const BaseKeys other = run_base(choices, {1, 3});
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    CHECK(!(other.chosen[i] == other.zero[i]) && !(other.chosen[i] == other.one[i]));
  }
}

void bad_points() {
  BaseSender sender;
  std::vector<std::uint8_t> offer(kPointBytes), points(kBaseTransfers * kPointBytes);
  sender.offer(offer);
  std::vector<std::uint8_t> bad = offer;
  bad[40] ^= 1;
  CHECK_THROWS(ProtocolError, BaseReceiver().choose(bad, kSession, {}, points));
  bad.assign(kPointBytes, 0);
  CHECK_THROWS(ProtocolError, BaseReceiver().choose(bad, kSession, {}, points));
  SecretArray<Block> zero(kBaseTransfers), one(kBaseTransfers);
  CHECK_THROWS(ProtocolError, sender.keys(kSession, points, zero, one));
}

/// The rows of a tree, beside sums leaf by leaf.
void sums_of_leaves(const TreeShape& shape, const Kernels& kernels) {
  constexpr std::size_t kUnits = 11;
  constexpr std::size_t kBlocks = kUnits * kUnitBlocks;
  constexpr std::size_t kStride = kBlocks + kUnitBlocks;
  SecretArray<RoundKeys> leaves(shape.leaves());
  SecretArray<Block> u(kBlocks), rows(shape.depth * kStride), leaf(kBlocks);
  SecretArray<Block> expected_u(kBlocks), expected(shape.depth * kStride);
  for (Block* block = rows.begin(); block != rows.end(); ++block) *block = {1, 1};
  for (std::size_t x = 0; x < shape.leaves(); ++x) {
    kernels.expand_key({rng()(), rng()()}, leaves[x]);
    kernels.stream(leaves[x], 99, leaf.data(), kBlocks);
    for (std::size_t i = 0; i < kBlocks; ++i) {
      expected_u[i] ^= leaf[i];
      for (std::size_t bit = 0; bit < shape.depth; ++bit) {
        expected[bit * kStride + i] ^= select(x >> bit, leaf[i]);
      }
    }
  }
  LeafSums sum_leaves(shape);
  sum_leaves(kernels, leaves.data(), 99, kUnits, u.data(), rows.data(), kStride);
  CHECK(std::equal(u.begin(), u.end(), expected_u.begin()));
  for (std::size_t bit = 0; bit < shape.depth; ++bit) {
    const Block* const row = &rows[bit * kStride];
    CHECK(std::equal(row, row + kBlocks, &expected[bit * kStride]));
    CHECK((row[kBlocks] == Block{1, 1}));  // the blocks between two rows are left alone
  }
}

void extension(const TreeShape& shape, Path receiver_path, Path sender_path) {
  Block delta{rng()() | 1U, rng()()};
  const BaseKeys keys = run_base(TransferSender::base_choices(delta));
  std::vector<std::uint8_t> trees(shape.message_bytes());
  TransferReceiver receiver(kernels_of(receiver_path), shape, kTranscript, keys.zero, keys.one,
                            trees);
  TransferSender sender(kernels_of(sender_path), shape, kTranscript, delta, keys.chosen, trees);
  std::set<std::pair<std::uint64_t, std::uint64_t>> labels_seen;
  std::size_t total = 0;
  for (const std::size_t count : {1U, 127U, 128U, 470U, 512U, 513U, 3008U, 3008U}) {
    const std::size_t padded = padded_transfers(count);
    SecretArray<Block> choices(padded / 128), t(padded), q(padded);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t bit = rng()() & 1U;
      ((i % 128) < 64 ? choices[i / 128].lo : choices[i / 128].hi) |= bit << (i % 64);
    }
    std::vector<std::uint8_t> corrections(correction_bytes(count, shape));
    // 4 or 2 bytes a transfer, by 128.
    CHECK(corrections.size() == 2048 / shape.depth * ((count + 127) / 128 + 1));
    std::vector<std::uint8_t> check(kCheckBytes);
    receiver.correct(choices.data(), count, corrections, t.data());
    const Digest challenge = check_challenge(Sha256(), kTranscript, corrections);
    receiver.prove(challenge, check);
    CHECK_THROWS(StateError, receiver.prove(challenge, check));
    sender.extend(corrections, challenge, check, count, q.data());
    for (std::size_t i = 0; i < count; ++i) {
      const Block c = choices[i / 128];
      const std::uint64_t bit = (((i % 128) < 64 ? c.lo : c.hi) >> (i % 64)) & 1U;
      CHECK(q[i] == (t[i] ^ select(bit, delta)));
      labels_seen.insert({t[i].lo, t[i].hi});
    }
    total += count;
  }
  CHECK(labels_seen.size() == total);
}

/// A sender, and a receiver that lies in one tree, guesses the tree's bits of Δ, and claims 0.
class Liar {
 public:
  Liar(const TreeShape& shape, Block delta)
      : shape_(shape),
        keys_(run_base(TransferSender::base_choices(delta))),
        trees_(shape.message_bytes()),
        receiver_(shape, kTranscript, keys_.zero, keys_.one, trees_),
        sender_(kernels_of(best_path()), shape, kTranscript, delta, keys_.chosen, trees_) {}

  bool passes(std::size_t tree, Block guess, bool lies) {
    std::vector<std::uint8_t> corrections(correction_bytes(128, shape_)), check(kCheckBytes);
    SecretArray<Block> t(kUnitColumns), q(kUnitColumns);
    std::vector<Block> choices(shape_.trees());
    if (lies) choices[tree] = one_bit(7);
    receiver_.correct(choices, corrections, t.data());
    const Digest challenge = check_challenge(Sha256(), kTranscript, corrections);
    receiver_.prove(challenge, guess, check);
    try {
      sender_.extend(corrections, challenge, check, 128, q.data());
    } catch (const ProtocolError&) {
      CHECK(std::all_of(q.begin(), q.end(), [](Block label) { return label == Block{}; }));
      return false;
    }
    CHECK(q[7] == (lies ? t[7] ^ guess : t[7]));  // the label that the lie moved by the tree's bits
    CHECK(q[8] == t[8]);
    return true;
  }

 private:
  TreeShape shape_;
  BaseKeys keys_;
  std::vector<std::uint8_t> trees_;
  CheatingReceiver receiver_;
  TransferSender sender_;
};

void a_lie_needs_the_trees_bits(const TreeShape& shape) {
  const Block delta{0x0123456789abcdef, 0xfedcba9876543210};
  Liar liar(shape, delta);
  CHECK(liar.passes(0, {}, false));
  for (const std::size_t tree :
       {std::size_t{0}, shape.trees() / 3, shape.trees() / 2, shape.trees() - 1}) {
    for (std::uint64_t guess = 0; guess < shape.leaves(); ++guess) {
      CHECK(liar.passes(tree, at_tree(shape, tree, guess), true) ==
            (guess == path_of(shape, delta, tree)));
    }
  }
}

/// The hash of the choices tells nothing of them: it is masked afresh each time.
void the_check_hides_the_choices(const TreeShape& shape) {
  const BaseKeys keys = run_base({});
  std::vector<std::uint8_t> trees(shape.message_bytes());
  std::vector<std::uint8_t> corrections(correction_bytes(128, shape));
  TransferReceiver receiver(kernels_of(best_path()), shape, kTranscript, keys.zero, keys.one,
                            trees);
  SecretArray<Block> t(kUnitColumns);
  const Block choices{};
  std::set<std::vector<std::uint8_t>> seen;
  for (int i = 0; i < 20; ++i) {
    std::vector<std::uint8_t> check(kCheckBytes);
    receiver.correct(&choices, 128, corrections, t.data());
    receiver.prove(kTranscript, check);  // one challenge for all, so that only masks differ
    seen.insert({check.begin(), check.begin() + sizeof(Block)});
  }
  CHECK(seen.size() == 20);
}

bool grows(const TreeShape& shape, const BaseKeys& keys, Block delta,
           const std::vector<std::uint8_t>& trees, const Digest& session = kTranscript) {
  try {
    (void)grow_punctured_trees(kernels_of(best_path()), shape, session, delta, keys.chosen, trees);
    return true;
  } catch (const ProtocolError&) {
    return false;
  }
}

/// A tree that fits for half of the values of its bits of Δ ends the session for the other half.
void trees_that_do_not_fit(const TreeShape& shape) {
  const Block delta{0x0123456789abcdef, 0xfedcba9876543210};
  const BaseKeys keys = run_base(TransferSender::base_choices(delta));
  std::vector<std::uint8_t> trees(shape.message_bytes());
  const auto leaves =
      grow_trees(kernels_of(best_path()), shape, kTranscript, keys.zero, keys.one, trees);
  const auto punctured =
      grow_punctured_trees(kernels_of(best_path()), shape, kTranscript, delta, keys.chosen, trees);
  for (std::size_t tree = 0; tree < shape.trees(); ++tree) {
    const std::size_t first = tree * shape.leaves();
    for (std::size_t y = 1; y < shape.leaves(); ++y) {
      const RoundKeys& ours = punctured[first + y];
      CHECK(ours.k[0] == leaves[first + (y ^ path_of(shape, delta, tree))].k[0]);
    }
  }
  constexpr std::size_t kSums = kBaseTransfers * 2 * sizeof(Block);
  for (std::size_t transfer = 0; transfer < kBaseTransfers; transfer += 5) {
    const std::uint64_t bit = bit_of(delta, transfer);
    for (std::uint64_t side = 0; side < 2; ++side) {
      std::vector<std::uint8_t> bent = trees;
      bent[(2 * transfer + side) * sizeof(Block) + 9] ^= 0x20;
      CHECK(grows(shape, keys, delta, bent) ==
            (side == bit));  // the garbler reads the side off its path
    }
  }
  for (std::size_t at = kSums; at < trees.size(); at += 29) {
    std::vector<std::uint8_t> bent = trees;
    bent[at] ^= 1;
    CHECK(!grows(shape, keys, delta, bent));
  }
  CHECK(!grows(shape, keys, delta, trees, Digest{1}));
  CHECK(!grows(shape, keys, delta ^ Block{0, 8}, trees));
}

}  // namespace

int main() {
  return run_tests([] {
    base_transfers();
    bad_points();
    const Path best = best_path();
    for (const TreeShape& shape : {kShallowTrees, kDeepTrees}) {
      sums_of_leaves(shape, kernels_of(best));
      extension(shape, best, best);
      extension(shape, Path::Portable, best);
      extension(shape, best, Path::Portable);
      if (is_supported(Path::AesNi)) extension(shape, Path::AesNi, Path::AesNi);
      a_lie_needs_the_trees_bits(shape);
      the_check_hides_the_choices(shape);
      trees_that_do_not_fit(shape);
    }
  });
}
