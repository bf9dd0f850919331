#pragma once

#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "kernels.hpp"

namespace capc::gc {

// One tree of the silent extension: the sender has 2^depth leaves v_i, the receiver w_i = v_i at
// all places but one, which only it knows, and v_i ^ Δ there. It is a correlated tree (Guo, Yang,
// Wang, Zhang, Xie, Liu and Zhao, "Half-Tree", EUROCRYPT 2023): the two nodes below the top add up
// to Δ, and the children of x are H(x) and x ^ H(x), so that the nodes of every level add up to Δ.
// The sums of a level's left and right children are Δ apart. So a label of one correlated transfer
// hides the left one from the receiver or gives it the right one: the side off its path.
//
// Bit i of a place, from the lowest, is the side of its path in level i. The lowest bit of a leaf
// is 0 at the sender. At the receiver it is 1 at its place, and 0 elsewhere, since the lowest bit
// of Δ is 1.

/// Grows trees of one depth of at least 2.
class PointTrees {
 public:
  PointTrees(const Kernels& kernels, std::size_t depth) : kernels_(&kernels), depth_(depth) {}

  [[nodiscard]] std::size_t leaves() const { return std::size_t{1} << depth_; }

  /// The sender's leaves, with `root` and root ^ delta below the top, and for each level the sum of
  /// its left nodes. `key` is that of H: public, and of this tree alone.
  void grow(const RoundKeys& key, Block root, Block delta, Block* sums, Block* leaves) const;
  /// The receiver's; off_path[i] is the sum of level i's nodes on the other side than bit i of
  /// `place`. Time and addresses do not depend on the place.
  void grow_punctured(const RoundKeys& key, std::uint64_t place, const Block* off_path,
                      Block* leaves) const;

 private:
  /// What level `level` keeps of its nodes: in leaves the lowest bit is free for the choice.
  [[nodiscard]] Block kept(std::size_t level) const {
    return {~std::uint64_t{0} << (level + 1 == depth_ ? 1U : 0U), ~std::uint64_t{0}};
  }

  const Kernels* kernels_;
  std::size_t depth_;
};

}  // namespace capc::gc
