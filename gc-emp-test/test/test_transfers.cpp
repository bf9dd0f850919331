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

void extension(Path receiver_path, Path sender_path) {
  Block delta{rng()() | 1U, rng()()};
  const BaseKeys keys = run_base(TransferSender::base_choices(delta));
  std::vector<std::uint8_t> trees(kTreeMessageBytes);
  TransferReceiver receiver(kernels_of(receiver_path), kTranscript, keys.zero, keys.one, trees);
  TransferSender sender(kernels_of(sender_path), kTranscript, delta, keys.chosen, trees);
  std::set<std::pair<std::uint64_t, std::uint64_t>> labels_seen;
  std::size_t total = 0;
  for (const std::size_t count : {1U, 127U, 128U, 470U, 512U, 513U, 3008U, 3008U}) {
    const std::size_t padded = padded_transfers(count);
    SecretArray<Block> choices(padded / 128), t(padded), q(padded);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t bit = rng()() & 1U;
      ((i % 128) < 64 ? choices[i / 128].lo : choices[i / 128].hi) |= bit << (i % 64);
    }
    std::vector<std::uint8_t> corrections(correction_bytes(count));
    CHECK(corrections.size() == 512 * ((count + 127) / 128 + 1));  // 4 bytes a transfer, by 128
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

/// What a sender says to a receiver that lies in one tree, guesses its nibble, and claims 0.
bool passes(const BaseKeys& keys, Block delta, std::size_t tree, Block guess, bool lies) {
  std::vector<std::uint8_t> trees(kTreeMessageBytes), check(kCheckBytes);
  CheatingReceiver receiver(kTranscript, keys.zero, keys.one, trees);
  TransferSender sender(kernels_of(best_path()), kTranscript, delta, keys.chosen, trees);
  std::vector<std::uint8_t> corrections(correction_bytes(128));
  SecretArray<Block> t(kUnitColumns), q(kUnitColumns);
  std::array<Block, kTrees> choices{};
  if (lies) choices[tree] = {std::uint64_t{1} << 7, 0};
  receiver.correct(choices, corrections, t.data());
  const Digest challenge = check_challenge(Sha256(), kTranscript, corrections);
  receiver.prove(challenge, guess, check);
  try {
    sender.extend(corrections, challenge, check, 128, q.data());
  } catch (const ProtocolError&) {
    CHECK(std::all_of(q.begin(), q.end(), [](Block label) { return label == Block{}; }));
    return false;
  }
  CHECK(q[7] == (lies ? t[7] ^ guess : t[7]));  // the label that the lie moved by the nibble
  CHECK(q[8] == t[8]);
  return true;
}

void a_lie_needs_the_nibble() {
  const Block delta{0x0123456789abcdef, 0xfedcba9876543210};
  const BaseKeys keys = run_base(TransferSender::base_choices(delta));
  CHECK(passes(keys, delta, 0, {}, false));
  for (const std::size_t tree : {0U, 13U, 16U, 31U}) {
    for (std::uint64_t guess = 0; guess < 16; ++guess) {
      CHECK(passes(keys, delta, tree, at_tree(tree, guess), true) ==
            (guess == nibble_of(delta, tree)));
    }
  }
}

/// The hash of the choices tells nothing of them: it is masked afresh each time.
void the_check_hides_the_choices() {
  const BaseKeys keys = run_base({});
  std::vector<std::uint8_t> trees(kTreeMessageBytes), corrections(correction_bytes(128));
  TransferReceiver receiver(kernels_of(best_path()), kTranscript, keys.zero, keys.one, trees);
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

bool grows(const BaseKeys& keys, Block delta, const std::vector<std::uint8_t>& trees,
           const Digest& session = kTranscript) {
  try {
    (void)grow_punctured_trees(kernels_of(best_path()), session, delta, keys.chosen, trees);
    return true;
  } catch (const ProtocolError&) {
    return false;
  }
}

/// A tree that fits for half of the values of its nibble ends the session for the other half.
void trees_that_do_not_fit() {
  const Block delta{0x0123456789abcdef, 0xfedcba9876543210};
  const BaseKeys keys = run_base(TransferSender::base_choices(delta));
  std::vector<std::uint8_t> trees(kTreeMessageBytes);
  const auto leaves = grow_trees(kernels_of(best_path()), kTranscript, keys.zero, keys.one, trees);
  const auto punctured =
      grow_punctured_trees(kernels_of(best_path()), kTranscript, delta, keys.chosen, trees);
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    for (std::size_t y = 1; y < kLeaves; ++y) {
      const RoundKeys& ours = punctured[tree * kLeaves + y];
      CHECK(ours.k[0] == leaves[tree * kLeaves + (y ^ nibble_of(delta, tree))].k[0]);
    }
  }
  constexpr std::size_t kSums = kBaseTransfers * 2 * sizeof(Block);
  for (std::size_t transfer = 0; transfer < kBaseTransfers; transfer += 5) {
    const unsigned bit = nibble_of(delta, transfer / kTreeDepth) >> (transfer % kTreeDepth) & 1U;
    for (unsigned side = 0; side < 2; ++side) {
      std::vector<std::uint8_t> bent = trees;
      bent[(2 * transfer + side) * sizeof(Block) + 9] ^= 0x20;
      CHECK(grows(keys, delta, bent) == (side == bit));  // the garbler reads the side off its path
    }
  }
  for (std::size_t at = kSums; at < trees.size(); at += 29) {
    std::vector<std::uint8_t> bent = trees;
    bent[at] ^= 1;
    CHECK(!grows(keys, delta, bent));
  }
  CHECK(!grows(keys, delta, trees, Digest{1}));
  CHECK(!grows(keys, delta ^ Block{0, 8}, trees));
}

}  // namespace

int main() {
  return run_tests([] {
    base_transfers();
    bad_points();
    const Path best = best_path();
    extension(best, best);
    extension(Path::Portable, best);
    extension(best, Path::Portable);
    if (is_supported(Path::AesNi)) extension(Path::AesNi, Path::AesNi);
    a_lie_needs_the_nibble();
    the_check_hides_the_choices();
    trees_that_do_not_fit();
  });
}
