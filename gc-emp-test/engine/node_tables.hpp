#pragma once

// Tables of a node's two bits, as words; for the engine's own sources only.

#include "lanes.hpp"
#include "lookup_plan.hpp"

namespace capc::gc {

/// Up to 8 entries of the bits of up to two nodes, plane by plane: entry j of plane p is bit 8 p +
/// j. The planes are `greater` and `equal` of the first node, then those of the second. Of 16
/// entries there are the planes of one node, and entry j of plane p is bit 16 p + j.
using NodeTable = std::uint32_t;

constexpr std::size_t kNodePlanes = 2;

/// From one plane of a table to the next.
[[nodiscard]] constexpr std::size_t plane_bits(std::size_t entries) { return entries > 8 ? 16 : 8; }
/// Of one node, from all entries of its planes.
[[nodiscard]] constexpr NodeTable node_table(std::size_t entries, Word greater, Word equal) {
  return static_cast<NodeTable>(low_bits(greater, entries) | low_bits(equal, entries)
                                                                 << plane_bits(entries));
}
/// All entries of a plane.
[[nodiscard]] constexpr Word plane_of(std::size_t entries, NodeTable table, std::size_t plane) {
  return low_bits(Word{table} >> (plane_bits(entries) * plane), entries);
}

/// Entry j of the result is entry j ^ place of the table: swaps that do not depend on the place.
[[nodiscard]] constexpr NodeTable moved(NodeTable table, Word place) {
  constexpr Word kLower[kMaxChoiceBits] = {0x55555555, 0x33333333, 0x0F0F0F0F, 0x00FF00FF};
  Word x = table;
  for (std::size_t bit = 0; bit < kMaxChoiceBits; ++bit) {
    const std::size_t distance = std::size_t{1} << bit;
    const Word change = ((x >> distance) ^ x) & kLower[bit] & mask_of(place >> bit);
    x ^= change | change << distance;
  }
  return static_cast<NodeTable>(x);
}

/// The same bits, one of each plane, in every entry.
[[nodiscard]] constexpr NodeTable everywhere(std::size_t entries, Word bits) {
  if (entries > 8) return static_cast<NodeTable>(((bits & 1U) | (bits & 2U) << 15U) * 0xFFFFU);
  // Bit p of the factor 2^0 + 2^7 + 2^14 + 2^21 goes to bit 8 p: planes do not meet.
  return static_cast<NodeTable>(((bits & 15U) * 0x204081U & 0x01010101U) * 0xFFU);
}

/// Entry `place`, one bit of each plane.
[[nodiscard]] constexpr Word entry_of(std::size_t entries, NodeTable table, Word place) {
  if (entries > 8) return ((table >> place) & 1U) | ((table >> place) >> 15U & 2U);
  const Word bits = (Word{table} >> place) & 0x01010101U;
  return (bits | bits >> 7U | bits >> 14U | bits >> 21U) & 15U;
}

/// Bits of planes.
[[nodiscard]] constexpr Word planes_of(const Lookup& lookup) {
  return (lookup.with_equal ? Word{3} : 1) * (lookup.result_count == 2 ? Word{5} : 1);
}

/// The `planes` of a table of so many entries in a message. Entry 0 is left out of those that are
/// not `whole`: it is 0.
inline void write_node_table(std::size_t entries, Word planes, Word whole, NodeTable table,
                             BitPacker& out) {
  for (std::size_t plane = 0; planes >> plane != 0; ++plane) {
    if (bit_at(planes, plane) == 0) continue;
    const std::size_t left_out = 1 - bit_at(whole, plane);
    out.put(plane_of(entries, table, plane) >> left_out, entries - left_out);
  }
}
[[nodiscard]] inline NodeTable read_node_table(std::size_t entries, Word planes, Word whole,
                                               BitUnpacker& in) {
  Word table = 0;
  for (std::size_t plane = 0; planes >> plane != 0; ++plane) {
    if (bit_at(planes, plane) == 0) continue;
    const std::size_t left_out = 1 - bit_at(whole, plane);
    table |= in.get(entries - left_out) << (left_out + plane * plane_bits(entries));
  }
  return static_cast<NodeTable>(table);
}

/// The planes whose masks are fixed beforehand, so that entry 0 is sent.
[[nodiscard]] constexpr Word fixed_planes(const Lookup& lookup) {
  Word planes = 0;
  for (std::size_t i = 0; i < lookup.result_count; ++i) {
    const Word greater = lookup.results[i].bit_transfer != kNoTransfer ? 1U : 0U;
    const Word equal = lookup.results[i].equal_transfer != kNoTransfer ? 2U : 0U;
    planes |= (greater | equal) << (kNodePlanes * i);
  }
  return planes;
}

/// What the leaf's bits of one party say for each of the other's, which are complemented: the
/// first number is greater than its index, or equal to it.
[[nodiscard]] constexpr NodeTable leaf_table(std::size_t entries, Word own) {
  const Word equal = Word{1} << own;
  return node_table(entries, equal - 1, equal);
}

/// Adds bits of planes to a party's shares of the nodes that a table gives.
constexpr void store_nodes(const Lookup& lookup, Word bits, NodeBits& nodes) {
  for (std::size_t i = 0; i < lookup.result_count; ++i) {
    const Word own = bits >> (kNodePlanes * i);
    nodes.add(lookup.results[i].node, own, own >> 1U);
  }
}

/// A party's shares of `equal` of a merge's children, but of the lowest.
[[nodiscard]] constexpr Word equals_of(const Lookup& merge, const NodeBits& nodes) {
  Word bits = 0;
  for (std::size_t i = 1; i < merge.child_count; ++i) {
    bits |= nodes.equal(merge.children[i]) << (i - 1);
  }
  return bits;
}

/// What a party's shares of its children add to a merge, for each of the other party's equals_of:
/// `greater` of a child counts where all children above it are equal, and so does the lowest one's
/// `equal`. The highest child's `greater` counts always, and is not in the table.
[[nodiscard]] constexpr NodeTable merge_table(const Lookup& merge, const NodeBits& nodes) {
  const std::size_t entries = merge.table.entries();
  const Word all = (Word{1} << entries) - 1;
  Word greater = 0;
  for (std::size_t i = 0; i + 1 < merge.child_count; ++i) {
    const Word above_equal = all & ~((Word{1} << (entries - (std::size_t{1} << i))) - 1);
    greater ^= above_equal & mask_of(nodes.greater(merge.children[i]));
  }
  const Word all_equal = Word{1} << (entries - 1);
  const Word equal = all_equal & mask_of(nodes.equal(merge.children[0]));
  return moved(node_table(entries, greater, equal), equals_of(merge, nodes));
}

/// The bits of the greatest number's index, from a party's bits of its finals. With the first sign
/// p and the second q, 0 where there is none, and the final f of these: p ^ (p ^ q) f and f. Of the
/// first, `constants` are the bits p.
[[nodiscard]] constexpr NodeTable final_table(const Lookup& final, Word finals, bool constants) {
  constexpr Word kDiffering = 6;  // of p and q, p first
  constexpr Word kFirst = 10;
  const std::size_t entries = final.table.entries();
  const Word low = (finals & kDiffering) ^ (constants ? kFirst : 0);
  return node_table(entries, low, 0) | node_table(entries, finals, 0) << (kNodePlanes * 8);
}

/// A party's share of `greater` of a merge's highest child.
[[nodiscard]] constexpr Word highest_of(const Lookup& merge, const NodeBits& nodes) {
  return nodes.greater(merge.children[merge.child_count - 1]);
}

}  // namespace capc::gc
