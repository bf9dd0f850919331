#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "hashing.hpp"
#include "kernels.hpp"
#include "point_trees.hpp"
#include "secret.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// Silent transfers: millions of random correlated transfers from some hundred thousand, for a
// tenth of a byte each. Yang, Weng, Lan, Zhang and Wang, "Ferret", CCS 2020: with regular noise, in
// the primal form. The receiver's choices are A r + e: r those of the transfers put in, A a sparse
// public matrix, e 1 at one place of each of `trees` equal parts, so that they look random under
// the assumption of learning parity with noise. The first outputs are the next round's inputs.
//
// A round is three messages: the sender's trees, the receiver's point, the sender's proof. Neither
// waits for the proof before it begins the next rounds, up to kSilentWindow of them; what the
// receiver makes of the outputs must wait (`proven`). A receiver that deviates changes its own
// outputs only. A sender that deviates might have outputs
// depend on places of e: the check over all trees ends the session before an output is there, but
// for a guess of places, which it pays for with a bit of failure for each bit that it learns.

/// Sizes of a round; public.
struct SilentParameters {
  std::size_t trees;
  std::size_t depth;    ///< of a tree: 2^depth outputs for each
  std::size_t secrets;  ///< the length of r

  [[nodiscard]] constexpr std::size_t outputs() const { return trees << depth; }
  /// Transfers that a round uses up: for the secrets, the levels of the trees, and the check's
  /// mask.
  [[nodiscard]] constexpr std::size_t inputs() const {
    return secrets + trees * depth + 8 * sizeof(Block);
  }
  /// What a round gives beside the inputs of the next one.
  [[nodiscard]] constexpr std::size_t gain() const { return outputs() - inputs(); }
  [[nodiscard]] constexpr std::size_t trees_bytes() const { return trees * depth * sizeof(Block); }
};

/// scripts/silent_security.py estimates what attacks on these take: 2^128 operations and more.
/// The secrets take 1.4 MB, so that they stay in a core's second cache.
constexpr SilentParameters kSilent{1024, 10, 90112};
static_assert(kSilent.trees_bytes() < kSilent.gain() / 5);  // in bytes
/// Rounds whose proofs may be outstanding.
constexpr std::size_t kSilentWindow = 8;
constexpr std::size_t kSilentPointBytes = sizeof(Block);
constexpr std::size_t kSilentProofBytes = sizeof(Digest);

/// What both ends have in common. The lowest bit of a label is 0 at the sender and the choice at
/// the receiver, which fits since the lowest bit of Δ is 1.
class SilentStock {
 public:
  /// Random correlated transfers that are there to be taken.
  [[nodiscard]] std::size_t available() const { return outputs_.size() - taken_; }
  /// The next `count` labels, which stay where they are until the next round: it drops what was not
  /// taken. They are made now, so that who takes few at a time has them in its cache. StateError
  /// where there are fewer. At the receiver they are not to be relied on before their round is
  /// proven.
  [[nodiscard]] const Block* take(std::size_t count);
  /// The first round's inputs: parameters().inputs() labels.
  void seed(const Block* labels);
  [[nodiscard]] bool is_seeded() const { return inputs_.size() > 0; }
  [[nodiscard]] const SilentParameters& parameters() const { return parameters_; }
  /// Rounds whose outputs were made, and those of them whose proof was given or taken.
  [[nodiscard]] std::uint64_t round() const { return round_; }
  [[nodiscard]] std::uint64_t proven() const { return proven_; }
  [[nodiscard]] std::uint64_t pending() const { return round_ - proven_; }

 protected:
  SilentStock(const Kernels& kernels, const Digest& session, const SilentParameters& parameters);

  /// What the proof of a round is made of. `hashed` has the masks, and the leaves from finish_hash
  /// on: they are hashed when they are in the cache for something else.
  struct Claim {
    Digest challenge;
    Block hashed;
  };

  void begin_round();
  /// The leaves are there. Outputs need no message, so they wait for `take` or the next round, and
  /// the other party can go on.
  void end_round(const Claim& claim);
  /// Of the first round without a proof. StateError where there is none.
  [[nodiscard]] const Claim& first_claim() const;
  void end_proof() { ++proven_; }
  /// Nothing can be taken or begun from here on.
  void drop();
  /// The labels that hide the sums of a tree's levels, or open those off its path.
  [[nodiscard]] const Block* level_labels(std::size_t tree) const {
    return &inputs_[parameters_.secrets + tree * parameters_.depth];
  }
  /// The key of a tree's hash. No two trees of a session share one.
  [[nodiscard]] RoundKeys tree_key(std::size_t tree) const;
  [[nodiscard]] Block* leaves_of(std::size_t tree) { return &outputs_[tree * trees_.leaves()]; }
  /// The round's challenge, from its trees as they were sent, and the coefficients that follow from
  /// it: a leaf's is one of its tree times one of its place.
  [[nodiscard]] Digest draw_challenge(ConstBytes trees);
  [[nodiscard]] const Block* place_coefficients() const {
    return &coefficients_[parameters_.trees];
  }
  /// Hashes the leaves of the first `trees` trees, where that is not done: the sum of each tree's.
  void hash_trees(std::size_t trees);
  /// What is left of that, for the claim of the newest round.
  void finish_hash();
  /// Of a sum for each tree, the sum by the trees' coefficients.
  [[nodiscard]] Block sum_over_trees(const SecretArray<Block>& of_trees) const;
  [[nodiscard]] Digest proof_of(const Claim& claim) const;
  /// The labels whose choices mask the receiver's point.
  [[nodiscard]] const Block* mask_labels() const {
    return &inputs_[parameters_.secrets + parameters_.trees * parameters_.depth];
  }

  const Kernels* kernels_;
  Sha256 sha256_;
  SilentParameters parameters_;
  PointTrees trees_;
  SecretArray<Block> inputs_;   // of the newest round
  SecretArray<Block> outputs_;  // from made_ on still the leaves; the first are the next inputs

 private:
  /// At least the first `count` outputs, from the leaves.
  void make_outputs(std::size_t count);

  Digest session_;
  RoundKeys code_;
  Block start_;  // of the keys of the trees
  std::uint64_t round_ = 0;
  std::uint64_t proven_ = 0;
  Secret<std::array<Claim, kSilentWindow>> claims_;  // of pending rounds, by number
  std::vector<Block> coefficients_;  // of the newest round: of the trees, then of the places
  SecretArray<Block> tree_hashes_;
  std::size_t hashed_trees_ = 0;
  bool is_hashed_ = true;
  bool has_next_inputs_ = false;  // among the outputs of the round that ended last
  std::size_t made_ = 0;
  std::size_t taken_ = 0;  // with the inputs of the next round
};

class SilentSender : public SilentStock {
 public:
  SilentSender(const Kernels& kernels, const Digest& session, Block delta,
               const SilentParameters& parameters);

  /// A round's first message: parameters().trees_bytes().
  void grow(Bytes trees);
  /// From the receiver's point (kSilentPointBytes) to the proof (kSilentProofBytes), of the first
  /// round without one.
  void prove(ConstBytes point, Bytes proof);

 protected:
  void grow_trees(Bytes trees);
  /// The round's challenge, from its trees as they were sent, and the hash of its leaves.
  void claim(ConstBytes trees);

 private:
  Secret<Block> delta_;
};

class SilentReceiver : public SilentStock {
 public:
  SilentReceiver(const Kernels& kernels, const Digest& session, const SilentParameters& parameters);

  void answer(ConstBytes trees, Bytes point);
  /// Of the first round without a proof. ProtocolError, and no outputs any more, unless it holds.
  void finish(ConstBytes proof);
};

}  // namespace capc::gc
