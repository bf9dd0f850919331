#pragma once

#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "kernels.hpp"
#include "secret.hpp"

namespace capc::gc {

// One tree of the silent extension (Goldreich, Goldwasser, Micali): the sender has 2^depth leaves
// v_i, the receiver w_i = v_i at all places but one, which only it knows, and v_i ^ Δ there. For
// each level the receiver reads, by one transfer, the sum of the children off its path. The lowest
// bit of a leaf is 0 at the sender. At the receiver it is 1 at its place, and 0 elsewhere, since
// the lowest bit of Δ is 1.

/// What the sender says of one level: the sums of all left and of all right children.
struct LevelSums {
  Block side[2];
};

/// Grows trees of one depth, one after the other, in memory that it keeps.
class PointTree {
 public:
  PointTree(const Kernels& kernels, std::size_t depth);

  [[nodiscard]] std::size_t depth() const { return depth_; }
  [[nodiscard]] std::size_t leaves() const { return std::size_t{1} << depth_; }

  /// The sender's tree under `root`: its leaves, the sums of its levels from the top, and the sum
  /// of all leaves, which is Δ away from what the receiver needs at its place.
  [[nodiscard]] Block grow(Block root, LevelSums* sums, Block* out);
  /// The receiver's. Bit i of `place`, from the top, is the side of its path in level i;
  /// off_path[i] the sum of the other side. Time and addresses do not depend on the place.
  void grow_punctured(std::uint64_t place, const Block* off_path, Block correction, Block* out);

 private:
  void split(const Block* nodes, std::size_t count);

  const Kernels* kernels_;
  std::size_t depth_;
  SecretArray<Block> keys_;      // each node twice
  SecretArray<Block> inputs_;    // 0 and 1 in turn
  SecretArray<Block> children_;  // of the level last split
};

}  // namespace capc::gc
