#pragma once

#include <cstddef>

#include "block.hpp"
#include "hashing.hpp"
#include "kernels.hpp"
#include "secret.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// The seeds of the transfer extension: 32 trees (Goldreich, Goldwasser, Micali) of 16 leaves. The
// evaluator has every leaf; the garbler lacks, of each tree, the leaf that four bits of Δ name.
//
// A leaf is hashed to a seed and a check string of twice the security level. The evaluator sends
// each tree's sum of check strings and one digest of all of them. So the garbler finds the string
// of the leaf that it lacks, and knows that every leaf it has is the evaluator's: Roy, "SoftSpoken
// OT", CRYPTO 2022, the check of its punctured generators. Trees that do not fit pass for some
// values of Δ at most, and every other value ends the session.

constexpr std::size_t kTreeDepth = 4;
constexpr std::size_t kTrees = 32;
constexpr std::size_t kLeafCheckBytes = 32;
constexpr std::size_t kTreeMessageBytes =
    kTrees * (kTreeDepth * 2 * sizeof(Block) + kLeafCheckBytes) + sizeof(Digest);

/// All leaves' seeds as keys, kLeaves a tree, and the message (kTreeMessageBytes) that lets the
/// garbler grow its part. `session`: the digest of what was said before.
[[nodiscard]] SecretArray<RoundKeys> grow_trees(const Kernels& kernels, const Digest& session,
                                                const SecretArray<Block>& zero_keys,
                                                const SecretArray<Block>& one_keys, Bytes message);

/// The garbler's: leaf y of a tree is the evaluator's leaf y ^ (the tree's four bits of Δ), and
/// none at 0, so that no address depends on Δ. ProtocolError where the check fails.
[[nodiscard]] SecretArray<RoundKeys> grow_punctured_trees(const Kernels& kernels,
                                                          const Digest& session, Block delta,
                                                          const SecretArray<Block>& chosen_keys,
                                                          ConstBytes message);

}  // namespace capc::gc
