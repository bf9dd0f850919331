#pragma once

// The pads of tables from correlated transfers; for the engine's own sources only.

#include <array>
#include <vector>

#include "bit_planes.hpp"
#include "block.hpp"
#include "lookup_plan.hpp"
#include "node_tables.hpp"
#include "secret.hpp"
#include "session_core.hpp"

namespace capc::gc {

// The k transfers of a table have labels t_i = q_i ^ c_i Δ. In GF(2^128), with the choice's bits
// as a polynomial c(x), T = sum x^i t_i = Q ^ c(x) Δ. So H(Q ^ j(x) Δ) is a pad for each entry j,
// of which the receiver has the one at c: the others lie a non-zero multiple of Δ away.

/// j(x) Δ for every j of a table.
using Multiples = std::array<Block, kMaxEntries>;

[[nodiscard]] constexpr Multiples multiples_of(Block delta) {
  Multiples result{};
  for (std::size_t j = 1; j < kMaxEntries; ++j) {
    result[j] = times_x(result[j / 2]) ^ select(j & 1U, delta);
  }
  return result;
}

/// all[place], read in the same steps for every place.
[[nodiscard]] inline Word chosen_of(const Word* all, std::size_t count, Word place) {
  Word chosen = 0;
  for (Word i = 0; i < count; ++i) chosen |= all[i] & (Word{0} - (((i ^ place) - 1) >> 63U));
  return chosen;
}

/// What a party keeps of some instances' tables of one direction: bits by planes, and numbers.
class TablePads {
 protected:
  using Count = std::size_t (*)(const Table& table);

  /// `planes` and `numbers` say what a table has of each.
  TablePads(const std::vector<Table>& tables, std::size_t instances, Count planes, Count numbers);
  [[nodiscard]] static std::size_t instance_bytes(const std::vector<Table>& tables, Count planes,
                                                  Count numbers);

  std::vector<Table> tables_;
  std::size_t instances_;
  std::vector<std::size_t> planes_;  // of a table: planes of those before it
  std::vector<std::size_t> places_;  // of a table: an instance's numbers of those before it
  BitPlanes bits_;
  SecretArray<Word> numbers_;
};

/// Pads at the party that fills the tables: of every entry.
class SenderPads : private TablePads {
 public:
  SenderPads(const std::vector<Table>& tables, std::size_t instances);

  /// Memory of one instance's pads.
  [[nodiscard]] static std::size_t instance_bytes(const std::vector<Table>& tables);

  /// For `count` instances from `first` on, from the labels of their transfers: the first transfer
  /// of all of them, then the second. `tweak`: that of the first table of instance 0.
  void fill(const SessionCore& core, const Multiples& multiples, std::uint64_t tweak,
            std::size_t first, std::size_t count, const Block* labels);

  /// All entries' pads of a table of bits, of a slice.
  [[nodiscard]] NodeTable bits(const Table& table, std::size_t slice) const;
  /// Of entry j of a table of numbers.
  [[nodiscard]] Word number(const Table& table, std::size_t instance, Word j) const {
    const std::size_t place = places_[table.index] * instances_;
    return chosen_of(&numbers_[place + instance * table.entries()], table.entries(), j);
  }

 private:
  void fill_bits(const SessionCore& core, const Multiples& multiples, const TweakRange& tweaks,
                 const Table& table, const TableLabels& labels, std::size_t first);
};

/// Pads at the party that reads: one of each table, and the random choice that it stands at. Of a
/// table's planes the choice's come first.
class ReceiverPads : private TablePads {
 public:
  ReceiverPads(const std::vector<Table>& tables, std::size_t instances);

  /// Memory of one instance's pads.
  [[nodiscard]] static std::size_t instance_bytes(const std::vector<Table>& tables);

  /// As SenderPads::fill; a label's lowest bit is its choice.
  void fill(const SessionCore& core, std::uint64_t tweak, std::size_t first, std::size_t count,
            const Block* labels);

  [[nodiscard]] Choice choice(const Table& table, std::size_t slice) const;
  /// The pad of a table of bits, of a slice.
  [[nodiscard]] NodeEntry bits(const Table& table, std::size_t slice) const;
  [[nodiscard]] Word number(const Table& table, std::size_t instance) const {
    return numbers_[places_[table.index] * instances_ + instance];
  }
};

}  // namespace capc::gc
