// Silent transfers: trees and code against an independent AES, q_i = t_i ^ c_i Δ over several
// rounds and on every path, choices that look random, and what a sender that deviates passes with.

#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <set>

#include "errors.hpp"
#include "point_trees.hpp"
#include "silent_pair.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

/// AES-128 by OpenSSL.
Block aes(Block key, Block in) {
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  Block out;
  int length = 0;
  const auto bytes = [](auto& block) { return reinterpret_cast<std::uint8_t*>(&block); };
  CHECK(EVP_EncryptInit_ex2(context.get(), EVP_aes_128_ecb(), bytes(key), nullptr, nullptr) == 1);
  CHECK(EVP_EncryptUpdate(context.get(), bytes(out), &length, bytes(in), sizeof in) == 1);
  return out;
}

/// The leaf at `place` under the two nodes below the top, by its path.
Block leaf_under(Block key, Block root, Block delta, std::size_t depth, std::size_t place) {
  Block node = root ^ select(place, delta);
  for (std::size_t level = 1; level < depth; ++level) {
    const Block left = aes(key, sigma(node)) ^ sigma(node);
    node = left ^ select(place >> level, node);
  }
  return {node.lo & ~std::uint64_t{1}, node.hi};
}

void trees(Path path) {
  const Block delta{rng()() | 1U, rng()()}, root{rng()(), rng()()}, key{rng()(), rng()()};
  RoundKeys expanded;
  kernels_of(path).expand_key(key, expanded);
  for (const std::size_t depth : {2U, 3U, 7U}) {
    const PointTrees trees(kernels_of(path), depth);
    std::vector<Block> sums(depth), leaves(trees.leaves()), punctured(trees.leaves());
    trees.grow(expanded, root, delta, sums.data(), leaves.data());
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      CHECK(leaves[i] == leaf_under(key, root, delta, depth, i));
    }
    for (std::uint64_t place = 0; place < leaves.size(); ++place) {
      std::vector<Block> off_path(depth);
      for (std::size_t level = 0; level < depth; ++level) {
        off_path[level] = sums[level] ^ select(~(place >> level), delta);
      }
      trees.grow_punctured(expanded, place, off_path.data(), punctured.data());
      for (std::size_t i = 0; i < leaves.size(); ++i) {
        CHECK(punctured[i] == (i == place ? leaves[i] ^ delta : leaves[i]));
      }
    }
  }
}

void code(Path path) {
  constexpr std::size_t kLength = 700, kCount = 2 * kCodeRows;
  const Block key{rng()(), rng()()};
  RoundKeys expanded;
  kernels_of(path).expand_key(key, expanded);
  std::vector<Block> secrets(kLength), rows(kCount);
  for (Block& block : secrets) block = {rng()(), rng()()};
  for (Block& block : rows) block = {rng()(), rng()()};
  const std::vector<Block> before = rows;
  kernels_of(path).code_rows(expanded, kCodeRows, kCount, secrets.data(), kLength, rows.data());
  for (std::size_t i = 0; i < kCount; i += 101) {
    Block sum = before[i];
    for (std::size_t j = 0; j < kCodeWeight; ++j) {
      const std::size_t number = (kCodeRows + i) * kCodeWeight + j;
      const Block block = aes(key, {number / 4, 0});
      std::uint32_t words[4];
      std::memcpy(words, &block, sizeof block);
      sum ^= secrets[words[number % 4] * std::uint64_t{kLength} >> 32U];
    }
    CHECK(rows[i] == sum);
  }
}

void rounds(SilentPair& pair, std::size_t count) {
  const SilentParameters& parameters = pair.sender.parameters();
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  std::size_t ones = 0, total = 0;
  for (std::size_t round = 0; round < count; ++round) {
    CHECK(pair.sender.round() == round && pair.receiver.round() == round);
    pair.run_round();
    CHECK(pair.sender.available() == parameters.gain());
    for (const std::size_t part : {std::size_t{1}, parameters.gain() - 1}) {
      const Block* const q = pair.sender.take(part);
      const Block* const t = pair.receiver.take(part);
      for (std::size_t i = 0; i < part; ++i) {
        CHECK(q[i].colour() == 0);
        CHECK(q[i] == (t[i] ^ select(t[i].lo, pair.delta)));
        ones += t[i].colour();
        if (i < 1000) seen.insert({q[i].lo, q[i].hi});
      }
      total += part;
    }
    CHECK(pair.sender.available() == 0 && pair.receiver.available() == 0);
  }
  CHECK(seen.size() == count * (1 + std::min<std::size_t>(1000, parameters.gain() - 1)));
  // Six standard deviations: random choices are further from half with probability below 2e-9.
  const double half = static_cast<double>(total) / 2;
  CHECK(std::abs(static_cast<double>(ones) - half) < 6 * std::sqrt(half / 2));
}

/// A round from which nothing is taken: the next one has its inputs from the code all the same, not
/// from leaves, whose choices are 0 at nearly all places.
void untaken_rounds() {
  SilentPair pair;
  pair.run_round();
  pair.run_round();
  const std::size_t count = kFew.gain();
  const Block* const t = pair.receiver.take(count);
  std::size_t ones = 0;
  for (std::size_t i = 0; i < count; ++i) ones += t[i].colour();
  const double half = static_cast<double>(count) / 2;
  CHECK(std::abs(static_cast<double>(ones) - half) < 6 * std::sqrt(half / 2));
}

void paths() {
  const Path best = best_path();
  for (const auto& [sender, receiver] : {std::pair(Path::Portable, best), {best, Path::Portable}}) {
    SilentPair pair(kFew, sender, receiver);
    rounds(pair, 2);
  }
  if (!is_supported(Path::AesNi)) return;
  SilentPair pair(kFew, Path::AesNi, Path::AesNi);
  rounds(pair, 2);
}

/// A round whose trees are bent at one byte, the receiver's point and the proof at others.
enum class Bent { Trees, Point, Proof };
bool passes(Bent what, std::size_t byte) {
  SilentPair pair;
  const auto bend = [&](Bent now, std::vector<std::uint8_t>& message) {
    if (now == what) message[byte] ^= 0x40;
  };
  pair.sender.grow(pair.trees);
  bend(Bent::Trees, pair.trees);
  pair.receiver.answer(pair.trees, pair.point);
  bend(Bent::Point, pair.point);
  pair.sender.prove(pair.point, pair.proof);
  bend(Bent::Proof, pair.proof);
  CHECK(pair.receiver.available() > 0 && pair.receiver.proven() == 0);
  try {
    pair.receiver.finish(pair.proof);
  } catch (const ProtocolError&) {
    CHECK_THROWS(StateError, (void)pair.receiver.take(1));
    CHECK_THROWS(StateError, pair.receiver.answer(pair.trees, pair.point));
    return false;
  }
  return true;
}

/// A window of rounds whose messages cross, the message `what` of round `bent` changed on its way.
/// The number of rounds that were proven.
std::uint64_t proven_in_window(Bent what, std::size_t bent) {
  SilentPair pair;
  std::vector<std::vector<std::uint8_t>> points(kSilentWindow, pair.point);
  const auto bend = [&](Bent now, std::size_t round, std::vector<std::uint8_t>& message) {
    if (now == what && round == bent) message[3] ^= 0x04;
  };
  for (std::size_t round = 0; round < kSilentWindow; ++round) {
    pair.sender.grow(pair.trees);
    bend(Bent::Trees, round, pair.trees);
    pair.receiver.answer(pair.trees, points[round]);
    const Block* const q = pair.sender.take(10);
    const Block* const t = pair.receiver.take(10);
    if (round < bent) {
      for (std::size_t i = 0; i < 10; ++i) CHECK(q[i] == (t[i] ^ select(t[i].lo, pair.delta)));
    }
  }
  CHECK_THROWS(StateError, pair.sender.grow(pair.trees));
  CHECK_THROWS(StateError, pair.receiver.answer(pair.trees, pair.point));
  try {
    for (std::size_t round = 0; round < kSilentWindow; ++round) {
      bend(Bent::Point, round, points[round]);
      pair.sender.prove(points[round], pair.proof);
      bend(Bent::Proof, round, pair.proof);
      pair.receiver.finish(pair.proof);
    }
  } catch (const ProtocolError&) {
    CHECK_THROWS(StateError, (void)pair.receiver.take(1));
    CHECK_THROWS(StateError, pair.receiver.finish(pair.proof));
  }
  return pair.receiver.proven();
}

void windows() {
  CHECK(proven_in_window(Bent::Trees, kSilentWindow) == kSilentWindow);
  for (std::size_t round = 0; round < kSilentWindow; ++round) {
    for (const Bent what : {Bent::Trees, Bent::Point, Bent::Proof}) {
      CHECK(proven_in_window(what, round) == round);
    }
  }
}

/// What a sender sends decides nothing of what the receiver says before a proof: its choices, and
/// so places and masks of later rounds, are the same whatever trees it got.
void points_do_not_depend_on_the_sums() {
  SilentPair pair;
  SilentReceiver other(kernels_of(best_path()), pair.session, kFew);
  other.seed(pair.receiver_labels.data());
  auto point = pair.point;
  pair.sender.grow(pair.trees);
  pair.receiver.answer(pair.trees, pair.point);
  for (std::uint8_t& byte : pair.trees) byte = static_cast<std::uint8_t>(rng()());
  other.answer(pair.trees, point);
  const Block* const t = pair.receiver.take(kFew.gain());
  const Block* const bent = other.take(kFew.gain());
  bool same = true;
  for (std::size_t i = 0; i < kFew.gain(); ++i) {
    CHECK(t[i].colour() == bent[i].colour());
    same = same && t[i] == bent[i];
  }
  CHECK(!same);
  // The same trees in the next round: one challenge, and so the same point.
  pair.sender.grow(pair.trees);
  pair.receiver.answer(pair.trees, pair.point);
  other.answer(pair.trees, point);
  CHECK(pair.point == point);
}

void bent_messages() {
  for (std::size_t byte = 0; byte < kSilentPointBytes; ++byte) CHECK(!passes(Bent::Point, byte));
  for (std::size_t byte = 0; byte < kSilentProofBytes; byte += 3) {
    CHECK(!passes(Bent::Proof, byte));
  }
  // The proof is about the trees as they were sent: even what the receiver does not read counts.
  for (std::size_t byte = 0; byte < kFew.trees_bytes(); byte += 97) {
    CHECK(!passes(Bent::Trees, byte));
  }
}

/// A sender that sends a wrong sum and proves what the receiver makes of it must know where: with a
/// guess of the path but its last side, the session goes on where the guess is right, and else not.
void a_lie_is_a_guess_of_the_path() {
  // Such a sender has the same Δ and labels, hashes the trees that it sent, and bends its leaves.
  class Lying : public SilentSender {
   public:
    using SilentSender::SilentSender;
    void lie(std::size_t guess, Bytes sent) {
      grow_trees(sent);
      const std::size_t last = parameters_.depth - 1;
      sent[last * sizeof(Block) + 8] ^= 1;  // of the first tree
      for (const std::size_t child : {guess, guess + (std::size_t{1} << last)}) {
        leaves_of(0)[child] ^= Block{0, 1};
      }
      claim(sent);
    }
  };
  constexpr int kSessions = 64;
  for (int session = 0; session < kSessions; ++session) {
    SilentPair honest;
    Lying sender(kernels_of(best_path()), honest.session, honest.delta, kFew);
    std::vector<Block> labels(kFew.inputs());
    for (Block& label : labels) label = {rng()() & ~std::uint64_t{1}, rng()()};
    sender.seed(labels.data());
    const std::vector<std::uint64_t> choices = random_words(kFew.inputs() / 64 + 1);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      labels[i] ^= select(choices[i / 64] >> (i % 64), honest.delta);
    }
    SilentReceiver receiver(kernels_of(best_path()), honest.session, kFew);
    receiver.seed(labels.data());
    std::size_t path = 0;  // all sides but the last one
    for (std::size_t level = 0; level + 1 < kFew.depth; ++level) {
      path |= (~labels[kFew.secrets + level].lo & 1U) << level;
    }
    const std::size_t guess = path ^ static_cast<std::size_t>(session % 16);
    sender.lie(guess, honest.trees);
    receiver.answer(honest.trees, honest.point);
    sender.prove(honest.point, honest.proof);
    bool goes_on = true;
    try {
      receiver.finish(honest.proof);
    } catch (const ProtocolError&) {
      goes_on = false;
    }
    CHECK(goes_on == (guess == path));
  }
}

void lengths_and_order() {
  SilentPair pair;
  CHECK_THROWS(StateError, (void)pair.sender.take(1));
  CHECK_THROWS(StateError, pair.sender.seed(nullptr));
  CHECK_THROWS(StateError, pair.sender.prove(pair.point, pair.proof));
  CHECK_THROWS(StateError, pair.receiver.finish(pair.proof));
  pair.sender.grow(pair.trees);
  auto longer = pair.trees;
  longer.push_back(0);
  CHECK_THROWS(ProtocolError, pair.receiver.answer(longer, pair.point));
  SilentPair other;
  other.sender.grow(other.trees);
  other.trees.pop_back();
  CHECK_THROWS(ProtocolError, other.receiver.answer(other.trees, other.point));
  SilentReceiver fresh(kernels_of(best_path()), pair.session, kFew);
  CHECK(!fresh.is_seeded() && fresh.available() == 0);
  CHECK_THROWS(StateError, fresh.answer(pair.trees, pair.point));
}

/// As any others: zeros at first, and free to move.
void secrets_in_huge_pages() {
  constexpr std::size_t kCount = 100'000;
  SecretArray<Block> huge(kCount, Pages::Huge);
  CHECK(reinterpret_cast<std::uintptr_t>(huge.data()) % (std::uintptr_t{1} << 21U) == 0);
  CHECK(std::all_of(huge.begin(), huge.end(), [](Block block) { return block == Block{}; }));
  huge[kCount - 1] = {1, 2};
  SecretArray<Block> moved(1);
  moved = std::move(huge);
  CHECK(moved.size() == kCount);
  CHECK(moved[kCount - 1] == (Block{1, 2}));
}

}  // namespace

int main() {
  return run_tests([] {
    for (const Path path : {Path::Portable, Path::AesNi, Path::Vaes}) {
      if (!is_supported(path)) continue;
      trees(path);
      code(path);
    }
    secrets_in_huge_pages();
    SilentPair few;
    rounds(few, 4);
    untaken_rounds();
    paths();
    bent_messages();
    windows();
    points_do_not_depend_on_the_sums();
    a_lie_is_a_guess_of_the_path();
    lengths_and_order();
    SilentPair full(kSilent);
    rounds(full, 2);
  });
}
