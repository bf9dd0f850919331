#pragma once

#include <cstddef>

#include "block.hpp"
#include "hashing.hpp"
#include "kernels.hpp"
#include "secret.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// The check that the evaluator chose the same in each of the trees: Roy, "SoftSpokenOT", CRYPTO
// 2022. Both parties hash their rows to one element of GF(2^128) each, linearly and by the same
// random coefficients. The evaluator sends the hash of its choices, with 128 random choices more
// as its mask, and a digest of its hashed rows. The garbler's hashed rows differ from those by the
// first hash where its bit of Δ is set, and by nothing else. The coefficients are a hash of all
// that was said before and of the corrections (Fiat and Shamir), so that no round is added.

/// Random choices of a chunk that nothing but its check uses.
constexpr std::size_t kMaskBlocks = 1;
constexpr std::size_t kCheckBytes = sizeof(Block) + sizeof(Digest);

/// The challenge: of the set-up's digest, and of the message up to its check.
[[nodiscard]] Digest check_challenge(const Sha256& hash, const Digest& session, ConstBytes message);

/// The universal hash: for any two rows that differ, the probability over a uniform challenge that
/// they hash alike is 2^-128.
class RowHash {
 public:
  /// Of rows of `blocks` blocks, the last kMaskBlocks of which are the mask.
  RowHash(const Kernels& kernels, const Digest& challenge, std::size_t blocks);
  /// `count` rows, `stride` blocks apart. Addresses and time do not depend on their contents.
  void operator()(const Block* rows, std::size_t stride, std::size_t count, Block* out) const;

 private:
  const Kernels* kernels_;
  SecretArray<Block> coefficients_;
};

/// What the evaluator sends of its hashed rows.
[[nodiscard]] Digest digest_of_rows(const Sha256& hash, const Digest& challenge,
                                    ConstBytes hashed_rows);

}  // namespace capc::gc
