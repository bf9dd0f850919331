#pragma once

#include <cstddef>

#include "base_ot.hpp"
#include "block.hpp"
#include "hashing.hpp"
#include "kernels.hpp"
#include "secret.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// The seeds of the transfer extension: trees (Goldreich, Goldwasser, Micali), 32 of 16 leaves or 16
// of 256. The evaluator has every leaf; the garbler lacks, of each tree, the leaf that the tree's
// bits of Δ name.
//
// A leaf is hashed to a seed and a check string of twice the security level. The evaluator sends
// each tree's sum of check strings and one digest of all of them. So the garbler finds the string
// of the leaf that it lacks, and knows that every leaf it has is the evaluator's: Roy, "SoftSpoken
// OT", CRYPTO 2022, the check of its punctured generators. Trees that do not fit pass for some
// values of Δ at most, and every other value ends the session.

constexpr std::size_t kLeafCheckBytes = 32;

/// How many trees of which depth, the k of SoftSpoken. Public, and the same at both ends.
struct TreeShape {
  std::size_t depth;

  [[nodiscard]] constexpr std::size_t trees() const { return kBaseTransfers / depth; }
  [[nodiscard]] constexpr std::size_t leaves() const { return std::size_t{1} << depth; }
  /// Of the message that lets the garbler grow its part.
  [[nodiscard]] constexpr std::size_t message_bytes() const {
    return 2 * kBaseTransfers * sizeof(Block) + trees() * kLeafCheckBytes + sizeof(Digest);
  }
};

constexpr TreeShape kShallowTrees{4};  // 4 bytes a transfer
constexpr TreeShape kDeepTrees{8};     // 2 bytes a transfer, for eight times as much AES

/// All leaves' seeds as keys, tree by tree, and the message (shape.message_bytes()) that lets the
/// garbler grow its part. `session`: the digest of what was said before.
[[nodiscard]] SecretArray<RoundKeys> grow_trees(const Kernels& kernels, const TreeShape& shape,
                                                const Digest& session,
                                                const SecretArray<Block>& zero_keys,
                                                const SecretArray<Block>& one_keys, Bytes message);

/// The garbler's: leaf y of a tree is the evaluator's leaf y ^ (the tree's bits of Δ), and
/// none at 0, so that no address depends on Δ. ProtocolError where the check fails.
[[nodiscard]] SecretArray<RoundKeys> grow_punctured_trees(const Kernels& kernels,
                                                          const TreeShape& shape,
                                                          const Digest& session, Block delta,
                                                          const SecretArray<Block>& chosen_keys,
                                                          ConstBytes message);

}  // namespace capc::gc
