#include "relu_plan.hpp"

#include <algorithm>

#include "ot_extension.hpp"
#include "ranges.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kLeafBits = 3;
constexpr std::size_t kMergedNodes = 4;

[[nodiscard]] std::size_t packed_bytes(std::size_t bits) { return (bits + 7) / 8; }

/// Levels of merges that so many nodes need until at most `target` are left.
[[nodiscard]] std::size_t levels_to(std::size_t nodes, std::size_t target) {
  std::size_t levels = 0;
  for (; nodes > target; nodes = (nodes + kMergedNodes - 1) / kMergedNodes) ++levels;
  return levels;
}

/// How many nodes to leave after one level of `levels`: as many as the later levels can join, since
/// small merges take fewer bits.
[[nodiscard]] std::size_t nodes_after(std::size_t nodes, std::size_t levels, std::size_t target) {
  for (std::size_t later = 1; later < levels; ++later) target *= kMergedNodes;
  return std::clamp(target, (nodes + kMergedNodes - 1) / kMergedNodes, nodes);
}

}  // namespace

ReluPlan::ReluPlan(std::size_t ring_bits, std::size_t shift)
    : ring_bits_(ring_bits), shift_(shift) {
  require_ring(ring_bits, shift);
  equals_.fill(kNoTransfer);
  steps_.emplace_back();
  Nodes low = leaves(0, shift, true);
  const bool alone = low.empty();  // then the high part's lowest node is the lowest of all
  Nodes high = leaves(shift, ring_bits - 1, alone);
  if (!alone) add_number(Lookup::Kind::Top, shift, false);
  const std::size_t high_nodes = alone ? 1 : kMergedNodes - 1;
  std::size_t levels = std::max(levels_to(low.size(), 1), levels_to(high.size(), high_nodes));
  for (; levels > 0; --levels) {
    steps_.emplace_back();
    if (!alone) low = merged(low, nodes_after(low.size(), levels, 1), true);
    high = merged(high, nodes_after(high.size(), levels, high_nodes), alone);
  }
  if (!alone) {
    low_node_ = low.front();
    steps_.emplace_back();
    add_number(Lookup::Kind::Carry, ring_bits, false);
    low.insert(low.end(), high.begin(), high.end());
    high = merged(low, 1, true);
  }
  carry_node_ = high.front();
  steps_.emplace_back();
  add_number(Lookup::Kind::Select, ring_bits, true);
  count_bits();
}

void ReluPlan::add(Lookup lookup) {
  const auto append = [](Table& table, std::vector<Table>& tables, std::size_t& transfers) {
    table.index = tables.size();
    table.first_transfer = transfers;
    transfers += table.choice_bits;
    tables.push_back(table);
  };
  append(lookup.table, tables_, transfers_);
  if (lookup.back.choice_bits > 0) append(lookup.back, tables_back_, back_transfers_);
  steps_.back().push_back(lookup);
}

void ReluPlan::add_number(Lookup::Kind kind, std::size_t message_bits, bool has_back) {
  Lookup lookup;
  lookup.kind = kind;
  lookup.table.choice_bits = 1;
  lookup.table.message_bits = message_bits;
  lookup.table.has_numbers = true;
  if (has_back) lookup.back = lookup.table;
  add(lookup);
}

ReluPlan::Nodes ReluPlan::leaves(std::size_t first_bit, std::size_t end_bit, bool lowest) {
  Nodes nodes;
  for (std::size_t bit = first_bit; bit < end_bit; bit += kLeafBits) {
    Lookup leaf;
    leaf.with_equal = !lowest || bit != first_bit;
    leaf.table.choice_bits = std::min(kLeafBits, end_bit - bit);
    leaf.table.message_bits = leaf.with_equal ? 2 : 1;
    leaf.node = nodes_++;
    leaf.first_bit = bit;
    add(leaf);
    nodes.push_back(leaf.node);
  }
  return nodes;
}

ReluPlan::Nodes ReluPlan::merged(const Nodes& nodes, std::size_t count, bool lowest) {
  Nodes result;
  for (std::size_t group = 0; group < count; ++group) {
    const std::size_t first = group * nodes.size() / count;
    const std::size_t end = (group + 1) * nodes.size() / count;
    if (end - first == 1) {
      result.push_back(nodes[first]);
      continue;
    }
    Lookup merge;
    merge.kind = Lookup::Kind::Merge;
    merge.with_equal = !lowest || first != 0;
    merge.child_count = end - first;
    for (std::size_t i = first; i < end; ++i) merge.children[i - first] = nodes[i];
    merge.table.choice_bits = merge.child_count - 1;
    merge.table.message_bits = merge.with_equal ? 2 : 1;
    merge.back = merge.table;
    for (std::size_t i = 1; i < merge.child_count; ++i) {
      equals_[merge.children[i]] = back_transfers_ + i - 1;
    }
    merge.node = nodes_++;
    add(merge);
    result.push_back(merge.node);
  }
  return result;
}

void ReluPlan::count_bits() {
  for (std::vector<Lookup>& step : steps_) {
    for (Lookup& lookup : step) {
      const std::size_t entries = std::size_t{1} << lookup.table.choice_bits;
      lookup.choose_bits = lookup.table.choice_bits;
      lookup.table_bits = lookup.table.message_bits * (entries - 1);
      if (lookup.back.choice_bits > 0) {
        lookup.choose_bits += lookup.back.message_bits * (entries - 1);
      }
      // Where the filler's share is given, no entry can stand for itself.
      if (lookup.kind == Lookup::Kind::Select) {
        lookup.table_bits = lookup.table.message_bits * entries;
      } else if (lookup.kind == Lookup::Kind::Leaf || lookup.kind == Lookup::Kind::Merge) {
        if (equals_[lookup.node] != kNoTransfer) ++lookup.table_bits;
        if (lookup.node == carry_node_) ++lookup.table_bits;
      }
    }
  }
}

std::uint64_t ReluPlan::digest() const {
  constexpr std::uint64_t kName = 0x756c'6572;  // "relu"
  return kName | ring_bits_ << 40U | shift_ << 32U;
}

std::size_t ReluPlan::chunk_count(std::size_t instances) {
  return (instances + kLookupChunk - 1) / kLookupChunk;
}

std::size_t ReluPlan::chunk_instances(std::size_t instances, std::size_t chunk) {
  return std::min(kLookupChunk, instances - chunk * kLookupChunk);
}

std::size_t ReluPlan::correlate_bytes(std::size_t instances, std::size_t chunk) const {
  return kHeaderBytes + choice_body_bytes(chunk_instances(instances, chunk) * transfers_);
}

std::size_t ReluPlan::back_bytes(std::size_t instances) const {
  return kHeaderBytes + choice_body_bytes(instances * back_transfers_);
}

std::size_t ReluPlan::choose_bytes(std::size_t instances, std::size_t step) const {
  std::size_t bits = 0;
  for (const Lookup& lookup : steps_[step]) bits += lookup.choose_bits;
  return kHeaderBytes + packed_bytes(bits * instances);
}

std::size_t ReluPlan::table_bytes(std::size_t instances, std::size_t step) const {
  std::size_t bits = 0;
  for (const Lookup& lookup : steps_[step]) bits += lookup.table_bits;
  return kHeaderBytes + packed_bytes(bits * instances);
}

std::pair<std::size_t, std::size_t> ReluPlan::offline_bytes(std::size_t instances) const {
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < chunk_count(instances); ++i) chosen += correlate_bytes(instances, i);
  return {back_bytes(instances), chosen};
}

std::pair<std::size_t, std::size_t> ReluPlan::online_bytes(std::size_t instances) const {
  std::size_t tables = 0;
  std::size_t chosen = 0;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    tables += table_bytes(instances, step);
    chosen += choose_bytes(instances, step);
  }
  return {tables, chosen};
}

}  // namespace capc::gc
