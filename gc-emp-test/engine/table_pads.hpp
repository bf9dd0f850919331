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

/// Pads of some instances' tables of one direction, at the party that fills the tables.
class SenderPads {
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

  std::vector<Table> tables_;
  std::size_t instances_;
  std::vector<std::size_t> planes_;  // of a table of bits: planes of those before it
  std::vector<std::size_t> places_;  // of a table of numbers: entries of those before it
  BitPlanes bits_;
  SecretArray<Word> numbers_;
};

/// The same at the party that reads: one pad each, and the random choice that it stands at.
class ReceiverPads {
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

 private:
  std::vector<Table> tables_;
  std::size_t instances_;
  std::vector<std::size_t> planes_;  // of a table: planes of those before it
  std::vector<std::size_t> places_;  // of a table of numbers: those before it
  BitPlanes bits_;                   // of each table its choice's, then its pad's
  SecretArray<Word> numbers_;
};

}  // namespace capc::gc
