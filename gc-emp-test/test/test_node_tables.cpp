// The tables of nodes, of 64 instances at once, against what they are to say; the bits of many
// words, and where they are put.

#include <algorithm>
#include <type_traits>
#include <vector>

#include "bit_planes.hpp"
#include "check.hpp"
#include "kernels.hpp"
#include "node_tables.hpp"
#include "paths.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

/// The number `value` of an entry in instance `lane`, of which `choice` has the bits.
void set_choice(const Table& table, Choice& choice, std::size_t lane, Word value) {
  for (std::size_t bit = 0; bit < table.choice_bits; ++bit) {
    choice[bit] |= bit_at(value, bit) << lane;
  }
}

/// Tables of leaves against what they are to say, each instance of a slice with numbers of its own.
void leaf_tables(std::size_t choice_bits) {
  Table table;
  table.choice_bits = choice_bits;
  table.message_bits = 2;
  const std::size_t entries = table.entries();
  for (Word shift = 0; shift < entries; ++shift) {
    Choice own{}, other{}, near{};
    for (std::size_t lane = 0; lane < kSliceInstances; ++lane) {
      set_choice(table, own, lane, lane % entries);
      set_choice(table, other, lane, (lane + shift) % entries);
      set_choice(table, near, lane, (lane / entries + shift) % entries);
    }
    NodeTable leaf{};
    leaf_table(table, own, leaf[0], leaf[1]);
    const NodeEntry entry = entry_of(table, leaf, other);
    for (std::size_t lane = 0; lane < kSliceInstances; ++lane) {
      const Word mine = lane % entries;
      const Word theirs = (lane + shift) % entries;
      CHECK(choice_of(table, own, lane) == mine);
      CHECK(bit_at(entry[0], lane) == (mine > theirs ? 1U : 0U));
      CHECK(bit_at(entry[1], lane) == (mine == theirs ? 1U : 0U));
    }
    NodeTable moved = leaf;
    for (EntryBits& bits : moved) move_entries(table, bits, other);
    Choice both = near;
    add_to(both, other);
    CHECK(entry_of(table, moved, near) == entry_of(table, leaf, both));
  }
}

/// Merges of so many nodes, from both parties' shares of them: 64 at a time.
void merge_tables() {
  for (std::size_t count = 2; count <= kMaxChildren; ++count) {
    Table table;
    table.choice_bits = count - 1;
    table.message_bits = 2;
    for (int i = 0; i < 20; ++i) {
      std::array<Slice, kMaxChildren> greater[2] = {}, equal[2] = {};
      NodeTable of_party[2] = {};
      Choice above[2] = {};
      for (std::size_t party = 0; party < 2; ++party) {
        Choice below{};
        for (std::size_t child = 0; child < count; ++child) {
          greater[party][child] = rng()();
          equal[party][child] = rng()();
          if (child + 1 < count) below[child] = greater[party][child];
          if (child > 0) above[party][child - 1] = equal[party][child];
        }
        merge_table(table, below, equal[party][0], of_party[party][0], of_party[party][1]);
        for (EntryBits& bits : of_party[party]) move_entries(table, bits, above[party]);
      }
      Slice expected_greater = 0, all_equal = ~Slice{0};
      for (std::size_t child = count; child-- > 0;) {
        expected_greater ^= all_equal & (greater[0][child] ^ greater[1][child]);
        all_equal &= equal[0][child] ^ equal[1][child];
      }
      NodeEntry found = entry_of(table, of_party[0], above[1]);
      add_to(found, entry_of(table, of_party[1], above[0]));
      CHECK((found[0] ^ greater[0][count - 1] ^ greater[1][count - 1]) == expected_greater);
      CHECK(found[1] == all_equal);
    }
  }
}

/// Finals of both parties' shares: the bits of the index of the greatest of up to four numbers.
void final_tables() {
  for (std::size_t signs = 1; signs <= 2; ++signs) {
    Table table;
    table.choice_bits = signs;
    table.message_bits = 2;
    NodeTable of_party[2] = {};
    Choice signs_of[2] = {};
    EntryBits finals{};
    for (std::size_t party = 0; party < 2; ++party) {
      EntryBits own{};
      for (std::size_t i = 0; i < signs; ++i) signs_of[party][i] = rng()();
      for (std::size_t j = 0; j < table.entries(); ++j) own[j] = rng()();
      add_to(finals, own);
      final_table(table, own, party == 0, of_party[party][0], of_party[party][1]);
      for (EntryBits& bits : of_party[party]) move_entries(table, bits, signs_of[party]);
    }
    NodeEntry found = entry_of(table, of_party[0], signs_of[1]);
    add_to(found, entry_of(table, of_party[1], signs_of[0]));
    add_to(signs_of[0], signs_of[1]);
    for (std::size_t lane = 0; lane < kSliceInstances; ++lane) {
      const Word which = choice_of(table, signs_of[0], lane);  // the winners of both pairs
      const Word final = bit_at(finals[which], lane);
      CHECK(bit_at(found[0], lane) == (final == 0 ? bit_at(which, 0) : bit_at(which, 1)));
      CHECK(bit_at(found[1], lane) == final);
    }
  }
}

/// Bits of words, against one at a time; and bits put where a slice does not begin.
template <class Turned>
void turned_words() {
  Turned block;
  for (auto& word : block.words) word = static_cast<std::decay_t<decltype(word)>>(rng()());
  const auto words = block.words;
  block.turn();
  CHECK(block.words == words);
  for (std::size_t i = 0; i < words.size(); ++i) {
    for (std::size_t bit = 0; bit < block.slices.size(); ++bit) {
      CHECK(bit_at(block.slices[bit][i / kSliceInstances], i % kSliceInstances) ==
            bit_at(words[i], bit));
    }
  }
}

/// The lowest bits of blocks, of full slices and of others.
void low_bits_of_blocks(Path path) {
  std::vector<Block> blocks(kSliceInstances);
  for (Block& block : blocks) block = {rng()(), rng()()};
  for (const std::size_t count : {1U, 3U, 8U, 50U, 63U, 64U}) {
    NodeEntry bits;
    bits.fill(~Slice{0});
    kernels_of(path).low_bits(blocks.data(), count, 3, bits.data());
    for (std::size_t p = 0; p < 3; ++p) {
      CHECK(low_bits(bits[p], count) == bits[p]);
      for (std::size_t i = 0; i < count; ++i) {
        CHECK(bit_at(bits[p], i) == bit_at(blocks[i].lo, p));
      }
    }
    CHECK(bits[3] == ~Slice{0});
  }
}

void planes() {
  constexpr std::size_t kInstances = 150;
  for (const std::size_t piece : {1U, 7U, 63U, 64U}) {
    BitPlanes planes(2, kInstances);
    std::vector<Word> bits;
    for (std::size_t first = 0; first < kInstances; first += piece) {
      const std::size_t count = std::min(piece, kInstances - first);
      const Slice some = low_bits(rng()(), count);
      planes.put(1, first, some);
      for (std::size_t i = 0; i < count; ++i) bits.push_back(bit_at(some, i));
    }
    for_each_slice(kInstances, [&](std::size_t slice, std::size_t count) {
      CHECK(planes.at(0, slice) == 0);
      CHECK(low_bits(planes.at(1, slice), count) == planes.at(1, slice));
      for (std::size_t i = 0; i < count; ++i) {
        CHECK(bit_at(planes.at(1, slice), i) == bits[slice * kSliceInstances + i]);
      }
    });
  }
}

}  // namespace

int main() {
  return run_tests([] {
    for (std::size_t bits = 1; bits <= kMaxChoiceBits; ++bits) leaf_tables(bits);
    merge_tables();
    final_tables();
    turned_words<TurnedShares>();
    turned_words<TurnedTables>();
    planes();
    for (const Path path : supported_paths()) low_bits_of_blocks(path);
  });
}
