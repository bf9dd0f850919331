#include "point_trees.hpp"

#include <algorithm>

namespace capc::gc {
namespace {

/// All ones where the numbers are equal, without a branch.
[[nodiscard]] std::uint64_t mask_where_equal(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t difference = a ^ b;
  return ((difference | (std::uint64_t{0} - difference)) >> 63U) - 1;
}

void clear_lowest_bits(Block* leaves, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) leaves[i].lo &= ~std::uint64_t{1};
}

/// nodes[at] = value, in the same steps for every `at`.
void put(Block* nodes, std::size_t count, std::uint64_t at, Block value) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t mask = mask_where_equal(i, at);
    nodes[i] = {(nodes[i].lo & ~mask) | (value.lo & mask),
                (nodes[i].hi & ~mask) | (value.hi & mask)};
  }
}

}  // namespace

PointTree::PointTree(const Kernels& kernels, std::size_t depth)
    : kernels_(&kernels), depth_(depth), keys_(leaves()), inputs_(leaves()), children_(leaves()) {
  for (std::size_t i = 1; i < leaves(); i += 2) inputs_[i].lo = 1;
}

void PointTree::split(const Block* nodes, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) keys_[2 * i] = keys_[2 * i + 1] = nodes[i];
  kernels_->encrypt(keys_.data(), inputs_.data(), children_.data(), 2 * count);
}

Block PointTree::grow(Block root, LevelSums* sums, Block* out) {
  const Block* nodes = &root;
  for (std::size_t level = 0; level < depth_; ++level) {
    const std::size_t width = std::size_t{2} << level;
    split(nodes, width / 2);
    nodes = children_.data();
    sums[level] = {};
    for (std::size_t i = 0; i < width; i += 2) {
      sums[level].side[0] ^= nodes[i];
      sums[level].side[1] ^= nodes[i + 1];
    }
  }
  std::copy_n(nodes, leaves(), out);
  clear_lowest_bits(out, leaves());
  Block sum{};
  for (std::size_t i = 0; i < leaves(); ++i) sum ^= out[i];
  return sum;
}

void PointTree::grow_punctured(std::uint64_t place, const Block* off_path, Block correction,
                               Block* out) {
  const Block top{};
  const Block* nodes = &top;
  for (std::size_t level = 0; level < depth_; ++level) {
    const std::size_t width = std::size_t{2} << level;
    const std::uint64_t path = place >> (depth_ - 1 - level);
    split(nodes, width / 2);
    // The children of the node on the path are not known: they count as 0 until its other child
    // is what is left of the sum.
    Block* const children = children_.data();
    Block rest = off_path[level];
    const std::uint64_t right = std::uint64_t{0} - (~path & 1U);  // the known side is the right one
    for (std::size_t i = 0; i < width; i += 2) {
      const std::uint64_t known = ~mask_where_equal(i / 2, path >> 1U);
      children[i] = select(known, children[i]);
      children[i + 1] = select(known, children[i + 1]);
      rest ^= children[i] ^ select(right, children[i] ^ children[i + 1]);
    }
    put(children, width, path ^ 1U, rest);
    nodes = children;
  }
  std::copy_n(nodes, leaves(), out);
  clear_lowest_bits(out, leaves());
  Block last = correction;
  for (std::size_t i = 0; i < leaves(); ++i) last ^= out[i];
  put(out, leaves(), place, last);
}

}  // namespace capc::gc
