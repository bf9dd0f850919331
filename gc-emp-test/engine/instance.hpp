#pragma once

// One instance of a batch as one of the parties has it; for the engine's own sources only.

#include "lookup_plan.hpp"
#include "node_tables.hpp"

namespace capc::gc {

enum class Party : std::uint8_t { Holder, Chooser };

class Instance {
 public:
  /// Input k of the instance is shares[k * stride].
  Instance(const LookupPlan& plan, Party party, const Word* shares, std::size_t stride,
           const NodeBits& nodes)
      : plan_(plan), party_(party), shares_(shares), stride_(stride), nodes_(nodes) {}

  [[nodiscard]] Word share(std::size_t input) const { return shares_[input * stride_]; }

  /// The share as a signed number.
  [[nodiscard]] std::int64_t signed_share() const {
    const std::size_t above = 64 - plan_.ring_bits();
    return static_cast<std::int64_t>(share(0) << above) >> above;
  }

  /// This party's part of a number, whose lowest ring_bits count.
  [[nodiscard]] Word part(const Compared& number) const {
    Word part = share(number.input);
    if (number.less != kNoInput) part -= share(number.less);
    return is_holder() ? part - number.taken_off : part;
  }

  /// The highest bit of that.
  [[nodiscard]] Word top(const Compared& number) const {
    return bit_at(part(number), plan_.ring_bits() - 1);
  }

  /// This party's part of a bit: of EitherTop to be joined by or, else by exclusive or.
  [[nodiscard]] Word bit(const SharedBit& bit) const {
    switch (bit.kind) {
      case SharedBit::Kind::EitherTop:
        return top(bit.number);
      case SharedBit::Kind::Carry:
        return nodes_.greater(bit.node);
      case SharedBit::Kind::Positive:
        break;
    }
    return top(bit.number) ^ nodes_.greater(bit.node) ^ (is_holder() ? 1U : 0U);
  }

  /// Where this party reads the other's table, but for a leaf's at the holder, which has none.
  [[nodiscard]] Word choice(const Lookup& lookup) const {
    switch (lookup.kind) {
      case Lookup::Kind::Leaf:
        return low_bits(~compared(lookup, 0) >> lookup.first_bit, lookup.table.choice_bits);
      case Lookup::Kind::Merge:
        return equals_of(lookup, nodes_);
      case Lookup::Kind::Product:
        return bit_at(share(0), lookup.first_bit);
      case Lookup::Kind::Final:
      case Lookup::Kind::Number:
      case Lookup::Kind::Select:
        break;
    }
    return bits(lookup.bits, lookup.table.choice_bits);
  }

  /// Of each of a leaf's nodes, what this party's bits say.
  [[nodiscard]] NodeTable leaf_tables(const Lookup& leaf) const {
    const std::size_t entries = leaf.table.entries();
    NodeTable tables = 0;
    for (std::size_t i = 0; i < leaf.result_count; ++i) {
      const Word own = low_bits(compared(leaf, i) >> leaf.first_bit, leaf.table.choice_bits);
      tables |= leaf_table(entries, own) << (i * kNodePlanes * plane_bits(entries));
    }
    return tables;
  }

  /// What this party's shares add to a merge or a final, for each choice of the other party.
  [[nodiscard]] NodeTable joined_table(const Lookup& lookup) const {
    if (lookup.kind == Lookup::Kind::Merge) return merge_table(lookup, nodes_);
    const Word finals = bits(lookup.finals, lookup.table.entries());
    return moved(final_table(lookup, finals, is_holder()), choice(lookup));
  }
  /// And besides, for every choice.
  [[nodiscard]] Word joined_alone(const Lookup& lookup) const {
    return lookup.kind == Lookup::Kind::Merge ? highest_of(lookup, nodes_) : 0;
  }

 private:
  [[nodiscard]] bool is_holder() const { return party_ == Party::Holder; }

  template <std::size_t kCount>
  [[nodiscard]] Word bits(const std::array<SharedBit, kCount>& shared, std::size_t count) const {
    Word found = 0;
    for (std::size_t i = 0; i < count; ++i) found |= bit(shared[i]) << i;
    return found;
  }

  /// What a leaf compares for its node `result`.
  [[nodiscard]] Word compared(const Lookup& leaf, std::size_t result) const {
    if (leaf.is_sloped) return plan_.local().slope * static_cast<Word>(signed_share());
    return part(leaf.results[result].number);
  }

  const LookupPlan& plan_;
  Party party_;
  const Word* shares_;
  std::size_t stride_;
  const NodeBits& nodes_;
};

/// What a party has of a selection, for each of the signs, of its own `values`: one a step.
inline void selected_of(const Lookup& select, const Word* values, std::size_t stride,
                        Word (&found)[kMaxNumberEntries]) {
  for (std::size_t signs = 0; signs < select.table.entries(); ++signs) {
    const std::size_t value = select.selected[signs].value;
    found[signs] = value == kNoValue ? 0 : values[value * stride];
  }
}

}  // namespace capc::gc
