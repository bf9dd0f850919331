#pragma once

// Tables of a node's two bits, as words; for the engine's own sources only.

#include "lanes.hpp"
#include "relu_plan.hpp"

namespace capc::gc {

/// Up to 8 entries of 2 bits: entry j's `greater` is bit j, its `equal` bit 8 + j.
using NodeTable = std::uint16_t;

constexpr std::size_t kPlaneBits = 8;

[[nodiscard]] constexpr NodeTable node_table(Word greater, Word equal) {
  return static_cast<NodeTable>((greater & 0xFFU) | (equal & 0xFFU) << kPlaneBits);
}
/// `greater` or `equal` of all entries.
[[nodiscard]] constexpr Word plane_of(NodeTable table, std::size_t plane) {
  return (Word{table} >> (kPlaneBits * plane)) & 0xFFU;
}

/// Entry j of the result is entry j ^ place of the table: swaps that do not depend on the place.
[[nodiscard]] constexpr NodeTable moved(NodeTable table, Word place) {
  constexpr Word kLower[kMaxChoiceBits] = {0x5555, 0x3333, 0x0F0F};
  Word x = table;
  for (std::size_t bit = 0; bit < kMaxChoiceBits; ++bit) {
    const std::size_t distance = std::size_t{1} << bit;
    const Word change = ((x >> distance) ^ x) & kLower[bit] & mask_of(place >> bit);
    x ^= change | change << distance;
  }
  return static_cast<NodeTable>(x);
}

/// Both bits of a node are added to every entry.
[[nodiscard]] constexpr NodeTable added(NodeTable table, Word greater, Word equal) {
  return table ^ node_table(mask_of(greater), mask_of(equal));
}

/// Entry `place`: `greater` in bit 0, `equal` in bit 1.
[[nodiscard]] constexpr Word entry_of(NodeTable table, Word place) {
  return bit_at(plane_of(table, 0), place) | bit_at(plane_of(table, 1), place) << 1U;
}

/// The planes of `table` in a message. Entry 0 is left out unless the plane is whole: it is 0.
inline void write_node_table(const Table& shape, bool whole_greater, bool whole_equal,
                             NodeTable table, BitPacker& out) {
  const std::size_t entries = std::size_t{1} << shape.choice_bits;
  for (std::size_t plane = 0; plane < shape.message_bits; ++plane) {
    const std::size_t left_out = (plane == 0 ? whole_greater : whole_equal) ? 0 : 1;
    out.put(low_bits(plane_of(table, plane), entries) >> left_out, entries - left_out);
  }
}
[[nodiscard]] inline NodeTable read_node_table(const Table& shape, bool whole_greater,
                                               bool whole_equal, BitUnpacker& in) {
  const std::size_t entries = std::size_t{1} << shape.choice_bits;
  Word planes[2] = {};
  for (std::size_t plane = 0; plane < shape.message_bits; ++plane) {
    const std::size_t left_out = (plane == 0 ? whole_greater : whole_equal) ? 0 : 1;
    planes[plane] = in.get(entries - left_out) << left_out;
  }
  return node_table(planes[0], planes[1]);
}

/// What the leaf's bits of one party say for each of the other's, which are complemented: the
/// first number is greater than its index, or equal to it.
[[nodiscard]] constexpr NodeTable leaf_table(Word own) {
  const Word equal = Word{1} << own;
  return node_table(equal - 1, equal);
}

/// A party's shares of `equal` of a merge's children, but of the lowest.
[[nodiscard]] constexpr Word equals_of(const Lookup& merge, Word equal) {
  Word bits = 0;
  for (std::size_t i = 1; i < merge.child_count; ++i) {
    bits |= bit_at(equal, merge.children[i]) << (i - 1);
  }
  return bits;
}

/// What a party's shares of its children add to a merge, for each of the other party's equals_of:
/// `greater` of a child counts where all children above it are equal, and so does the lowest one's
/// `equal`. The highest child's `greater` counts always, and is not in the table.
[[nodiscard]] constexpr NodeTable merge_table(const Lookup& merge, const NodeBits& nodes) {
  const std::size_t entries = std::size_t{1} << (merge.child_count - 1);
  const Word all = (Word{1} << entries) - 1;
  Word greater = 0;
  for (std::size_t i = 0; i + 1 < merge.child_count; ++i) {
    const Word above_equal = all & ~((Word{1} << (entries - (std::size_t{1} << i))) - 1);
    greater ^= above_equal & mask_of(bit_at(nodes.greater, merge.children[i]));
  }
  const Word all_equal = Word{1} << (entries - 1);
  const Word equal = all_equal & mask_of(bit_at(nodes.equal, merge.children[0]));
  return moved(node_table(greater, equal), equals_of(merge, nodes.equal));
}

/// A party's share of `greater` of a merge's highest child.
[[nodiscard]] constexpr Word highest_of(const Lookup& merge, const NodeBits& nodes) {
  return bit_at(nodes.greater, merge.children[merge.child_count - 1]);
}

}  // namespace capc::gc
