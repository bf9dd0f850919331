#pragma once

#include <vector>

#include "check.hpp"
#include "silent_extension.hpp"

namespace capc::gc::test {

/// So few that a round takes no time; nobody claims security of them.
constexpr SilentParameters kFew{32, 5, 100};

/// Both ends of silent transfers, seeded by a dealer.
struct SilentPair {
  SilentPair(const SilentParameters& parameters, Path sender_path, Path receiver_path)
      : sender(kernels_of(sender_path), session, delta, parameters),
        receiver(kernels_of(receiver_path), session, parameters) {
    const std::size_t count = parameters.inputs();
    std::vector<Block> zero(count);
    std::vector<Block>& labels = receiver_labels;
    labels.resize(count);
    const std::vector<std::uint64_t> choices = random_words((count + 63) / 64);
    for (std::size_t i = 0; i < count; ++i) {
      zero[i] = {rng()() & ~std::uint64_t{1}, rng()()};
      labels[i] = zero[i] ^ select(choices[i / 64] >> (i % 64), delta);
    }
    sender.seed(zero.data());
    receiver.seed(labels.data());
    trees.resize(parameters.trees_bytes());
  }
  explicit SilentPair(const SilentParameters& parameters = kFew)
      : SilentPair(parameters, best_path(), best_path()) {}

  void run_round() {
    sender.grow(trees);
    receiver.answer(trees, point);
    sender.prove(point, proof);
    receiver.finish(proof);
  }

  const Block delta{rng()() | 1U, rng()()};
  const Digest session{1, 2, 3};
  SilentSender sender;
  SilentReceiver receiver;
  std::vector<Block> receiver_labels;  // the seeds
  std::vector<std::uint8_t> trees;
  std::vector<std::uint8_t> point = std::vector<std::uint8_t>(kSilentPointBytes);
  std::vector<std::uint8_t> proof = std::vector<std::uint8_t>(kSilentProofBytes);
};

}  // namespace capc::gc::test
