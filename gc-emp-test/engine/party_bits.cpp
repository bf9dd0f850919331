#include "party_bits.hpp"

#include <algorithm>

namespace capc::gc {

PartyBits::PartyBits(const LookupPlan& plan, Party party, std::size_t instances)
    : plan_(plan),
      party_(party),
      instances_(instances),
      parts_(parts_of(plan)),
      greater_(node_count(plan), instances),
      equal_(node_count(plan), instances) {}

std::vector<PartyBits::Part> PartyBits::parts_of(const LookupPlan& plan) {
  std::vector<Part> parts;
  const auto note = [&](const Part& part) {
    if (std::find(parts.begin(), parts.end(), part) == parts.end()) parts.push_back(part);
  };
  const auto note_all = [&](const auto& bits, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) note({bits[i].number});
  };
  for (const auto& step : plan.steps()) {
    for (const Lookup& lookup : step) {
      switch (lookup.kind) {
        case Lookup::Kind::Leaf:
          for (std::size_t i = 0; i < lookup.result_count; ++i) {
            note({lookup.results[i].number, lookup.is_sloped});
          }
          break;
        case Lookup::Kind::Merge:
          break;
        case Lookup::Kind::Final:
          note_all(lookup.finals, lookup.table.entries());
          [[fallthrough]];
        case Lookup::Kind::Number:
        case Lookup::Kind::Select:
          note_all(lookup.bits, lookup.table.choice_bits);
          break;
        case Lookup::Kind::Product:
          note({});
          break;
      }
    }
  }
  return parts;
}

std::size_t PartyBits::node_count(const LookupPlan& plan) {
  std::size_t nodes = 0;
  for (const auto& step : plan.steps()) {
    for (const Lookup& lookup : step) nodes += lookup.result_count;
  }
  return nodes;
}

std::size_t PartyBits::instance_bytes(const LookupPlan& plan) {
  return (parts_of(plan).size() * plan.ring_bits() + 2 * node_count(plan) + 7) / 8;
}

Word PartyBits::word_of(const Part& part, const Word* shares, std::size_t instance) const {
  const auto share = [&](std::size_t input) { return shares[input * instances_ + instance]; };
  if (part.is_sloped) {
    return plan_.local().slope * static_cast<Word>(signed_share(plan_.ring_bits(), share(0)));
  }
  Word word = share(part.number.input);
  if (part.number.less != kNoInput) word -= share(part.number.less);
  return party_ == Party::Holder ? word - part.number.taken_off : word;
}

void PartyBits::begin(const Word* shares) {
  const std::size_t bits = plan_.ring_bits();
  words_ = BitPlanes(parts_.size() * bits, instances_);
  Secret<TurnedShares> block;
  auto& words = block.get().words;
  auto& slices = block.get().slices;
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    for (std::size_t first = 0; first < instances_; first += words.size()) {
      const std::size_t count = std::min(words.size(), instances_ - first);
      for (std::size_t i = 0; i < count; ++i) words[i] = word_of(parts_[part], shares, first + i);
      std::fill(words.begin() + static_cast<std::ptrdiff_t>(count), words.end(), 0);
      block.get().turn();
      for (std::size_t bit = 0; bit < bits; ++bit) {
        for_each_slice(count, [&](std::size_t slice, std::size_t /*some*/) {
          words_.at(part * bits + bit, first / kSliceInstances + slice) = slices[bit][slice];
        });
      }
    }
  }
}

std::size_t PartyBits::plane_of(const Part& part) const {
  const auto found = std::find(parts_.begin(), parts_.end(), part);
  return static_cast<std::size_t>(found - parts_.begin()) * plan_.ring_bits();
}

Slice PartyBits::top(const Compared& number, std::size_t slice) const {
  return words_.at(plane_of({number}) + plan_.ring_bits() - 1, slice);
}

Slice PartyBits::bit(const SharedBit& bit, std::size_t slice) const {
  switch (bit.kind) {
    case SharedBit::Kind::EitherTop:
      return top(bit.number, slice);
    case SharedBit::Kind::Carry:
      return greater_.at(bit.node, slice);
    case SharedBit::Kind::Positive:
      break;
  }
  return top(bit.number, slice) ^ greater_.at(bit.node, slice) ^ party_constant();
}

Choice PartyBits::leaf_bits(const Lookup& leaf, std::size_t result, std::size_t slice) const {
  const std::size_t plane = plane_of({leaf.results[result].number, leaf.is_sloped});
  Choice bits{};
  for (std::size_t i = 0; i < leaf.table.choice_bits; ++i) {
    bits[i] = words_.at(plane + leaf.first_bit + i, slice);
  }
  return bits;
}

Choice PartyBits::choice(const Lookup& lookup, std::size_t slice) const {
  Choice choice{};
  switch (lookup.kind) {
    case Lookup::Kind::Leaf:
      choice = leaf_bits(lookup, 0, slice);
      for (Slice& bits : choice) bits = ~bits;
      break;
    case Lookup::Kind::Merge:
      for (std::size_t i = 0; i < lookup.table.choice_bits; ++i) {
        choice[i] = equal_.at(lookup.children[i + 1], slice);
      }
      break;
    case Lookup::Kind::Product:
      choice[0] = words_.at(plane_of({}) + lookup.first_bit, slice);
      break;
    case Lookup::Kind::Final:
    case Lookup::Kind::Number:
    case Lookup::Kind::Select:
      for (std::size_t i = 0; i < lookup.table.choice_bits; ++i) {
        choice[i] = bit(lookup.bits[i], slice);
      }
      break;
  }
  return choice;
}

NodeTable PartyBits::table(const Lookup& lookup, std::size_t slice) const {
  if (lookup.kind != Lookup::Kind::Leaf) return joined_table(lookup, slice);
  NodeTable table{};
  for (std::size_t i = 0; i < lookup.result_count; ++i) {
    EntryBits equal;
    const std::size_t plane = lookup.plane_of(i);
    leaf_table(lookup.table, leaf_bits(lookup, i, slice), table[plane], equal);
    if (lookup.with_equal) table[plane + 1] = equal;
  }
  return table;
}

NodeTable PartyBits::joined_table(const Lookup& lookup, std::size_t slice) const {
  NodeTable table{};
  if (lookup.kind == Lookup::Kind::Merge) {
    Choice greater{};
    for (std::size_t i = 0; i < lookup.table.choice_bits; ++i) {
      greater[i] = greater_.at(lookup.children[i], slice);
    }
    merge_table(lookup.table, greater, equal_.at(lookup.children[0], slice), table[0], table[1]);
  } else {
    EntryBits finals{};
    for (std::size_t j = 0; j < lookup.table.entries(); ++j) {
      finals[j] = bit(lookup.finals[j], slice);
    }
    final_table(lookup.table, finals, party_ == Party::Holder, table[0], table[1]);
  }
  const Choice own = choice(lookup, slice);
  for (std::size_t p = 0; p < lookup.table.message_bits; ++p) {
    move_entries(lookup.table, table[p], own);
  }
  return table;
}

NodeEntry PartyBits::added(const Lookup& lookup, std::size_t slice) const {
  if (lookup.kind != Lookup::Kind::Merge) return {};
  return {greater_.at(lookup.children[lookup.child_count - 1], slice)};
}

void PartyBits::add(const Lookup& lookup, const NodeEntry& bits, std::size_t slice) {
  for (std::size_t i = 0; i < lookup.result_count; ++i) {
    const std::size_t node = lookup.results[i].node;
    const std::size_t plane = lookup.plane_of(i);
    greater_.at(node, slice) ^= bits[plane];
    if (lookup.with_equal) equal_.at(node, slice) ^= bits[plane + 1];
  }
}

Word PartyBits::greater(std::size_t node, std::size_t instance) const {
  return bit_at(greater_.at(node, instance / kSliceInstances), instance % kSliceInstances);
}

Word PartyBits::equal(std::size_t node, std::size_t instance) const {
  return bit_at(equal_.at(node, instance / kSliceInstances), instance % kSliceInstances);
}

}  // namespace capc::gc
