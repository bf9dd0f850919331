#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "lookup_plan.hpp"

namespace capc::gc {

constexpr std::size_t kMergedNodes = 4;

/// Leaves of so many bits, of at most three each.
[[nodiscard]] constexpr std::size_t leaf_count(std::size_t bits) { return (bits + 2) / 3; }

/// A plan in the making, look-up by look-up.
class PlanBuilder {
 public:
  using Nodes = std::vector<std::size_t>;

  /// `function` and its `figures` are public, and all that the plan follows from: its digest is
  /// theirs. A selection is among the values of `local`, one for each input.
  PlanBuilder(std::string_view function, std::span<const Word> figures, std::size_t ring_bits,
              std::size_t output_bits, const LocalPart& local, std::size_t inputs = 1);

  /// What follows waits for what came before.
  void next_step() { plan_.steps_.emplace_back(); }
  /// Nodes that compare the bits from `first_bit` on, below `end_bit`; with `lowest` no bits below
  /// these matter.
  [[nodiscard]] Nodes leaves(std::size_t first_bit, std::size_t end_bit, bool lowest);
  /// One or two such trees on the same transfers. They differ in what the holder takes off its
  /// share first, a multiple of 2^first_bit.
  [[nodiscard]] std::vector<Nodes> leaves(std::size_t first_bit, std::size_t end_bit, bool lowest,
                                          std::span<const Compared> numbers);
  /// Such a tree of `count` leaves, which are as even as it goes, the lowest ones the largest.
  [[nodiscard]] Nodes leaves_of(const Compared& number, std::size_t end_bit, std::size_t count);
  /// Of both shares, as signed numbers, times the slope of `local`: all bits below `end_bit`.
  [[nodiscard]] Nodes sloped_leaves(std::size_t end_bit);
  /// The nodes joined into `count`, as evenly as it goes.
  [[nodiscard]] Nodes merged(const Nodes& nodes, std::size_t count, bool lowest);
  /// From the signs of one or two pairs, which say that the second number is the greater one, and
  /// for each outcome whether the winner of the second pair, or else the third number, is no less
  /// than that of the first: two bits, which together are the index of the greatest.
  [[nodiscard]] std::array<SharedBit, 2> greatest(std::span<const SharedBit> signs,
                                                  std::span<const SharedBit> finals);
  /// Adds scale * bit * 2^unit to the value of the bit's input, where that is not 0 modulo
  /// 2^output_bits.
  void add_number(const SharedBit& bit, Word scale, std::size_t unit);
  /// The last number of a plan without a selection.
  void add_last_number(const SharedBit& bit, Word scale);
  /// The same, with the parts of the bit counted so often in the value and in the rest.
  void add_number_to_both(const SharedBit& bit, std::size_t unit, Word in_value, Word in_rest);
  /// Adds the chooser's bit times 2^(bit + 1) times the holder's share.
  void add_product(std::size_t bit, bool is_last);
  /// What `selected` has where these bits stand. The first `deciding` of them say which value it
  /// is; their nodes have to be the last of their trees, in the step before or earlier.
  void select(std::span<const SharedBit> bits, std::size_t deciding,
              std::span<const Selected> selected);
  [[nodiscard]] LookupPlan build();

 private:
  [[nodiscard]] std::vector<Nodes> leaves(std::size_t first_bit, std::size_t end_bit, bool lowest,
                                          std::span<const Compared> numbers, std::size_t count);
  void add(Lookup lookup);
  /// The table back is read where these bits of the holder stand, the look-up's first ones.
  void read_back_at(std::span<const SharedBit> bits, Lookup& lookup);
  [[nodiscard]] std::size_t new_node(const Compared& number);
  void count_bits(Lookup& lookup) const;

  LookupPlan plan_;
  std::vector<NodeResult> nodes_;  // as far as it is known by now
};

/// Levels of merges that so many nodes need until at most `target` are left.
[[nodiscard]] std::size_t merge_levels(std::size_t nodes, std::size_t target);
/// How many nodes to leave after one level of `levels`: as many as the later levels can join, since
/// small merges take fewer bits.
[[nodiscard]] std::size_t nodes_after(std::size_t nodes, std::size_t levels, std::size_t target);

}  // namespace capc::gc
