#pragma once

// Tables of nodes' bits, of 64 instances at a time; for the engine's own sources only.

#include "bit_planes.hpp"
#include "lanes.hpp"
#include "lookup_plan.hpp"

namespace capc::gc {

/// One bit of each entry.
using EntryBits = std::array<Slice, kMaxEntries>;
/// All bits of each entry, plane by plane (Lookup::plane_of): table[p][j] has bit p of entry j.
using NodeTable = std::array<EntryBits, kMaxNodeBits>;
/// All bits of one entry.
using NodeEntry = std::array<Slice, kMaxNodeBits>;
/// The number of an entry, by bits.
using Choice = std::array<Slice, kMaxChoiceBits>;

template <std::size_t kCount>
void add_to(std::array<Slice, kCount>& sum, const std::array<Slice, kCount>& other) {
  for (std::size_t i = 0; i < kCount; ++i) sum[i] ^= other[i];
}

/// b where the bit is 1, else a.
[[nodiscard]] constexpr Slice chosen_of(Slice a, Slice b, Slice bit) { return a ^ ((a ^ b) & bit); }

/// Entry j becomes what entry j ^ place was.
inline void move_entries(const Table& table, EntryBits& bits, const Choice& place) {
  for (std::size_t i = 0; i < table.choice_bits; ++i) {
    const std::size_t distance = std::size_t{1} << i;
    for (std::size_t j = 0; j < table.entries(); ++j) {
      if ((j & distance) != 0) continue;
      const Slice change = (bits[j] ^ bits[j + distance]) & place[i];
      bits[j] ^= change;
      bits[j + distance] ^= change;
    }
  }
}

/// Entry `place`, found in the same steps for every place.
[[nodiscard]] inline Slice bit_of_entry(const Table& table, EntryBits bits, const Choice& place) {
  for (std::size_t i = table.choice_bits; i-- > 0;) {
    const std::size_t half = std::size_t{1} << i;
    for (std::size_t j = 0; j < half; ++j) bits[j] = chosen_of(bits[j], bits[j + half], place[i]);
  }
  return bits[0];
}
[[nodiscard]] inline NodeEntry entry_of(const Table& table, const NodeTable& bits,
                                        const Choice& place) {
  NodeEntry entry{};
  for (std::size_t p = 0; p < table.message_bits; ++p) {
    entry[p] = bit_of_entry(table, bits[p], place);
  }
  return entry;
}

/// The choices of `count` instances in a message, bit by bit.
inline void write_choice(const Table& table, const Choice& choice, std::size_t count,
                         BitPacker& out) {
  for (std::size_t i = 0; i < table.choice_bits; ++i) out.put(low_bits(choice[i], count), count);
}
[[nodiscard]] inline Choice read_choice(const Table& table, std::size_t count, BitUnpacker& in) {
  Choice choice{};
  for (std::size_t i = 0; i < table.choice_bits; ++i) choice[i] = in.get(count);
  return choice;
}
/// One instance's choice, as a number.
[[nodiscard]] inline Word choice_of(const Table& table, const Choice& choice, std::size_t i) {
  Word place = 0;
  for (std::size_t bit = 0; bit < table.choice_bits; ++bit) place |= bit_at(choice[bit], i) << bit;
  return place;
}

/// Of an entry's bits, those of which the table's filler has a given share.
using Given = std::array<bool, kMaxNodeBits>;

/// What the filler does not choose is given: the holder's shares that are choices of transfers
/// back.
[[nodiscard]] inline Given given_of(const Lookup& lookup) {
  Given given{};
  for (std::size_t i = 0; i < lookup.result_count; ++i) {
    const std::size_t plane = lookup.plane_of(i);
    given[plane] = lookup.results[i].bit_transfer != kNoTransfer;
    if (lookup.with_equal) given[plane + 1] = lookup.results[i].equal_transfer != kNoTransfer;
  }
  return given;
}

/// The tables of `count` instances in a message, less their masks, which are their filler's shares:
/// bit by bit of every entry. A mask that is not given is entry 0, which need not be sent: it is 0
/// then.
inline void write_node_table(const Table& table, const NodeTable& bits, const NodeEntry& masks,
                             const Given& given, std::size_t count, BitPacker& out) {
  for (std::size_t p = 0; p < table.message_bits; ++p) {
    for (std::size_t j = given[p] ? 0 : 1; j < table.entries(); ++j) {
      out.put(low_bits(bits[p][j] ^ masks[p], count), count);
    }
  }
}
[[nodiscard]] inline NodeTable read_node_table(const Table& table, const Given& given,
                                               std::size_t count, BitUnpacker& in) {
  NodeTable bits{};
  for (std::size_t p = 0; p < table.message_bits; ++p) {
    for (std::size_t j = given[p] ? 0 : 1; j < table.entries(); ++j) bits[p][j] = in.get(count);
  }
  return bits;
}

/// What a party's bits of a leaf say for each of the other's, which are complemented: whether the
/// first number is greater than its index, and whether it is equal to it.
inline void leaf_table(const Table& table, const Choice& own, EntryBits& greater,
                       EntryBits& equal) {
  equal[0] = ~Slice{0};
  for (std::size_t i = 0; i < table.choice_bits; ++i) {
    const std::size_t half = std::size_t{1} << i;
    for (std::size_t j = 0; j < half; ++j) {
      equal[j + half] = equal[j] & own[i];
      equal[j] &= ~own[i];
    }
  }
  greater[table.entries() - 1] = 0;
  for (std::size_t j = table.entries() - 1; j > 0; --j) greater[j - 1] = greater[j] | equal[j];
}

/// What a party's shares of its children add to a merge, for each of the other party's shares of
/// `equal`, if its own are 0: `greater` of a child, but of the highest, counts where all children
/// above it are equal, and so does the lowest one's `equal`.
inline void merge_table(const Table& table, const Choice& greater_of_children,
                        Slice equal_of_lowest, EntryBits& greater, EntryBits& equal) {
  const std::size_t entries = table.entries();
  for (std::size_t child = 0; child < table.choice_bits; ++child) {
    for (std::size_t j = entries - (std::size_t{1} << child); j < entries; ++j) {
      greater[j] ^= greater_of_children[child];
    }
  }
  equal[entries - 1] = equal_of_lowest;
}

/// The bits of the greatest number's index, from a party's bits of its finals, if its shares of the
/// signs are 0. With the first sign p and the second q, 0 where there is none, and the final f of
/// these: p ^ (p ^ q) f and f. One party adds the bits p of the first.
inline void final_table(const Table& table, const EntryBits& finals, bool adds_constants,
                        EntryBits& first, EntryBits& second) {
  const Slice one = adds_constants ? ~Slice{0} : 0;
  for (std::size_t j = 0; j < table.entries(); ++j) {
    const bool is_p = (j & 1U) != 0;
    const bool is_q = (j & 2U) != 0;
    first[j] = (is_p != is_q ? finals[j] : 0) ^ (is_p ? one : 0);
    second[j] = finals[j];
  }
}

}  // namespace capc::gc
