#include "point_trees.hpp"

namespace capc::gc {

void PointTrees::grow(const RoundKeys& key, Block root, Block delta, Block* sums,
                      Block* leaves) const {
  leaves[0] = root;
  leaves[1] = root ^ delta;
  sums[0] = root;
  for (std::size_t level = 1; level < depth_; ++level) {
    kernels_->split(key, leaves, std::size_t{1} << level, kept(level), &sums[level]);
  }
}

void PointTrees::grow_punctured(const RoundKeys& key, std::uint64_t place, const Block* off_path,
                                Block* leaves) const {
  Block hashed_zero;  // sigma(0) = 0
  kernels_->stream(key, 0, &hashed_zero, 1);
  // The node on the path is not known: it is 0 here, and so H(0) is among the left children.
  leaves[0] = select(place, off_path[0]);
  leaves[1] = select(~place, off_path[0]);
  Block known = off_path[0];  // the sum of the level's nodes but that on the path
  for (std::size_t level = 1; level < depth_; ++level) {
    const std::size_t width = std::size_t{1} << level;
    Block left;
    kernels_->split(key, leaves, width, kept(level), &left);
    // Both children of x add up to x. What the sum off the path has beside the children that are
    // known is the child off the path.
    const std::uint64_t is_left = place >> level;  // the child off the path, in the lowest bit
    const Block rest = off_path[level] ^ left ^ hashed_zero ^ select(~is_left, known);
    known ^= rest;
    Block on_path{};
    if (level + 1 == depth_) on_path = {(known & kept(level)).lo | 1U, known.hi};
    const Block off = rest & kept(level);
    kernels_->plant(leaves, width, place & (width - 1), on_path ^ select(is_left, on_path ^ off),
                    off ^ select(is_left, on_path ^ off));
  }
}

}  // namespace capc::gc
