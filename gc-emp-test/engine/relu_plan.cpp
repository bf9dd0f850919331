#include "relu_plan.hpp"

#include <algorithm>

#include "ot_extension.hpp"
#include "ranges.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kLeafBits = 4;
constexpr std::size_t kMergedNodes = 3;
constexpr std::size_t kSelectBits = 3;  // sign, carry of the dropped bits, highest bit of b

[[nodiscard]] std::size_t packed_bytes(std::size_t bits) { return (bits + 7) / 8; }

}  // namespace

ReluPlan::ReluPlan(std::size_t ring_bits, std::size_t shift)
    : ring_bits_(ring_bits), shift_(shift) {
  require_ring(ring_bits, shift);
  steps_.emplace_back();
  Nodes low = leaves(0, shift, true);
  const bool alone = low.empty();  // then the high part's lowest node is the lowest of all
  Nodes high = leaves(shift, ring_bits - 1, alone);
  const std::size_t high_nodes = alone ? 1 : kMergedNodes - 1;
  while (low.size() > 1 || high.size() > high_nodes) {
    steps_.emplace_back();
    if (low.size() > 1) low = merged(low, true);
    if (high.size() > high_nodes) high = merged(high, alone);
  }
  if (!alone) {
    low_node_ = low.front();
    steps_.emplace_back();
    low.insert(low.end(), high.begin(), high.end());
    high = merged(low, true);
  }
  carry_node_ = high.front();
  steps_.emplace_back();
  Lookup select;
  select.kind = Lookup::Kind::Select;
  select.choice_bits = shift > 0 ? kSelectBits : 1;
  select.message_bits = ring_bits;
  add(select);
}

void ReluPlan::add(Lookup lookup) {
  lookup.index = lookups_++;
  transfers_ += lookup.choice_bits;
  steps_.back().push_back(lookup);
}

ReluPlan::Nodes ReluPlan::leaves(std::size_t first_bit, std::size_t end_bit, bool lowest) {
  Nodes nodes;
  for (std::size_t bit = first_bit; bit < end_bit; bit += kLeafBits) {
    Lookup leaf;
    leaf.with_equal = !lowest || bit != first_bit;
    leaf.choice_bits = std::min(kLeafBits, end_bit - bit);
    leaf.message_bits = leaf.with_equal ? 2 : 1;
    leaf.node = nodes_++;
    leaf.first_bit = bit;
    add(leaf);
    nodes.push_back(leaf.node);
  }
  return nodes;
}

ReluPlan::Nodes ReluPlan::merged(const Nodes& nodes, bool lowest) {
  Nodes result;
  for (std::size_t first = 0; first < nodes.size(); first += kMergedNodes) {
    const std::size_t count = std::min(kMergedNodes, nodes.size() - first);
    if (count == 1) {
      result.push_back(nodes[first]);
      continue;
    }
    Lookup merge;
    merge.kind = Lookup::Kind::Merge;
    merge.with_equal = !lowest || first != 0;
    merge.choice_bits = 2 * (count - 1) + (merge.with_equal ? 1 : 0);
    merge.message_bits = merge.with_equal ? 2 : 1;
    merge.node = nodes_++;
    std::copy_n(nodes.begin() + static_cast<std::ptrdiff_t>(first), count, merge.children.begin());
    merge.child_count = count;
    add(merge);
    result.push_back(merge.node);
  }
  return result;
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
  return kHeaderBytes + choice_body_bytes(instances);
}

std::size_t ReluPlan::choose_bytes(std::size_t instances, std::size_t step) const {
  std::size_t bits = 0;
  for (const Lookup& lookup : steps_[step]) {
    bits += lookup.choice_bits;
    if (lookup.kind == Lookup::Kind::Select) bits += ring_bits_;
  }
  return kHeaderBytes + packed_bytes(bits * instances);
}

std::size_t ReluPlan::table_bytes(std::size_t instances, std::size_t step) const {
  std::size_t bits = 0;
  for (const Lookup& lookup : steps_[step]) bits += lookup.message_bits << lookup.choice_bits;
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

Word merge_bits(const Lookup& merge, const NodeBits& nodes) {
  Word bits = bit_at(nodes.equal, merge.children[merge.child_count - 1]);
  std::size_t place = 1;
  for (std::size_t child = merge.child_count - 1; child-- > 0;) {
    const std::size_t node = merge.children[child];
    bits |= bit_at(nodes.greater, node) << place++;
    if (child > 0 || merge.with_equal) bits |= bit_at(nodes.equal, node) << place++;
  }
  return bits;
}

Word merge_value(const Lookup& merge, Word bits) {
  Word all_equal = bits & 1U;
  Word greater = 0;
  std::size_t place = 1;
  for (std::size_t child = merge.child_count - 1; child-- > 0;) {
    greater ^= all_equal & bit_at(bits, place++);
    if (child > 0 || merge.with_equal) all_equal &= bit_at(bits, place++);
  }
  return greater | all_equal << 1U;
}

}  // namespace capc::gc
