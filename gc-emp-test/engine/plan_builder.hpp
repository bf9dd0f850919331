#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "lookup_plan.hpp"

namespace capc::gc {

constexpr std::size_t kMergedNodes = 4;

/// A plan in the making, look-up by look-up.
class PlanBuilder {
 public:
  using Nodes = std::vector<std::size_t>;

  /// `function` and its `figures` are public, and all that the plan follows from: its digest is
  /// theirs. A selection multiplies the values of `local`.
  PlanBuilder(std::string_view function, std::span<const Word> figures, std::size_t ring_bits,
              std::size_t output_bits, const LocalPart& local);

  /// What follows waits for what came before.
  void next_step() { plan_.steps_.emplace_back(); }
  /// Nodes that compare the bits from `first_bit` on, below `end_bit`; with `lowest` no bits below
  /// these matter.
  [[nodiscard]] Nodes leaves(std::size_t first_bit, std::size_t end_bit, bool lowest);
  /// One or two such trees on the same transfers. In each the holder takes another number off its
  /// share first, a multiple of 2^first_bit.
  [[nodiscard]] std::vector<Nodes> leaves(std::size_t first_bit, std::size_t end_bit, bool lowest,
                                          std::span<const Word> taken_off);
  /// Of both shares, as signed numbers, times the slope of `local`: all bits below `end_bit`.
  [[nodiscard]] Nodes sloped_leaves(std::size_t end_bit);
  /// The nodes joined into `count`, as evenly as it goes.
  [[nodiscard]] Nodes merged(const Nodes& nodes, std::size_t count, bool lowest);
  /// Adds scale * bit * 2^unit to the value, where that is not 0 modulo 2^output_bits.
  void add_number(const SharedBit& bit, Word scale, std::size_t unit);
  /// The last number of a plan without a selection.
  void add_last_number(const SharedBit& bit, Word scale);
  /// The same, with the parts of the bit counted so often in the value and in the rest.
  void add_number_to_both(const SharedBit& bit, std::size_t unit, Word in_value, Word in_rest);
  /// Adds the chooser's bit times 2^(bit + 1) times the holder's share.
  void add_product(std::size_t bit, bool is_last);
  /// The value where the first of these bits is set, `cap` where both are as `cap_at` says. The
  /// nodes of the bits have to be the last of their trees, in the step before or earlier.
  void select(std::span<const SharedBit> bits, Word cap, Word cap_at = 3);
  [[nodiscard]] LookupPlan build();

 private:
  void add(Lookup lookup);
  [[nodiscard]] std::size_t new_node(Word taken_off);
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
