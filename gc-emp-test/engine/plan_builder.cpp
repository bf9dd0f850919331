#include "plan_builder.hpp"

#include <algorithm>

#include "errors.hpp"
#include "word_digest.hpp"

namespace capc::gc {
namespace {

/// Of a name, which has no zero byte, and its figures.
[[nodiscard]] std::uint64_t digest_of(std::string_view function, std::span<const Word> figures) {
  std::vector<std::uint8_t> text(function.begin(), function.end());
  text.push_back(0);
  for (const Word figure : figures) append_number(text, figure);
  return short_digest(text);
}

}  // namespace

std::size_t merge_levels(std::size_t nodes, std::size_t target) {
  std::size_t levels = 0;
  for (; nodes > target; nodes = (nodes + kMergedNodes - 1) / kMergedNodes) ++levels;
  return levels;
}

std::size_t nodes_after(std::size_t nodes, std::size_t levels, std::size_t target) {
  for (std::size_t later = 1; later < levels; ++later) target *= kMergedNodes;
  return std::clamp(target, (nodes + kMergedNodes - 1) / kMergedNodes, nodes);
}

PlanBuilder::PlanBuilder(std::string_view function, std::span<const Word> figures,
                         std::size_t ring_bits, std::size_t output_bits, const LocalPart& local,
                         std::size_t inputs) {
  plan_.digest_ = digest_of(function, figures);
  plan_.ring_bits_ = ring_bits;
  plan_.output_bits_ = output_bits;
  plan_.inputs_ = inputs;
  plan_.local_ = local;
  next_step();
}

PlanBuilder::Nodes PlanBuilder::leaves(std::size_t first_bit, std::size_t end_bit, bool lowest) {
  const Compared input[] = {{}};
  return leaves(first_bit, end_bit, lowest, input).front();
}

std::vector<PlanBuilder::Nodes> PlanBuilder::leaves(std::size_t first_bit, std::size_t end_bit,
                                                    bool lowest,
                                                    std::span<const Compared> numbers) {
  return leaves(first_bit, end_bit, lowest, numbers, leaf_count(end_bit - first_bit));
}

PlanBuilder::Nodes PlanBuilder::leaves_of(const Compared& number, std::size_t end_bit,
                                          std::size_t count) {
  return leaves(0, end_bit, true, {&number, 1}, count).front();
}

std::vector<PlanBuilder::Nodes> PlanBuilder::leaves(std::size_t first_bit, std::size_t end_bit,
                                                    bool lowest, std::span<const Compared> numbers,
                                                    std::size_t count) {
  std::vector<Nodes> trees(numbers.size());
  std::size_t bit = first_bit;
  for (std::size_t left = count; left > 0; --left) {
    Lookup leaf;
    leaf.with_equal = !lowest || bit != first_bit;
    leaf.first_bit = bit;
    leaf.table.choice_bits = (end_bit - bit + left - 1) / left;
    leaf.result_count = trees.size();
    for (std::size_t tree = 0; tree < trees.size(); ++tree) {
      leaf.results[tree].node = new_node(numbers[tree]);
      trees[tree].push_back(leaf.results[tree].node);
    }
    leaf.table.message_bits = leaf.result_count * (leaf.with_equal ? 2 : 1);
    bit += leaf.table.choice_bits;
    add(leaf);
  }
  return trees;
}

PlanBuilder::Nodes PlanBuilder::sloped_leaves(std::size_t end_bit) {
  const std::size_t before = plan_.steps_.back().size();
  Nodes nodes = leaves(0, end_bit, true);
  for (std::size_t i = before; i < plan_.steps_.back().size(); ++i) {
    plan_.steps_.back()[i].is_sloped = true;
  }
  return nodes;
}

PlanBuilder::Nodes PlanBuilder::merged(const Nodes& nodes, std::size_t count, bool lowest) {
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
      nodes_[merge.children[i]].equal_transfer = plan_.back_transfers_ + i - 1;
    }
    merge.result_count = 1;
    merge.results[0].node = new_node(nodes_[nodes[end - 1]].number);
    add(merge);
    result.push_back(merge.results[0].node);
  }
  return result;
}

std::array<SharedBit, 2> PlanBuilder::greatest(std::span<const SharedBit> signs,
                                               std::span<const SharedBit> finals) {
  Lookup final;
  final.kind = Lookup::Kind::Final;
  final.table.choice_bits = signs.size();
  final.table.message_bits = 2;
  final.back = final.table;
  std::copy(finals.begin(), finals.end(), final.finals.begin());
  read_back_at(signs, final);
  final.result_count = 2;
  std::array<SharedBit, 2> index;
  for (std::size_t i = 0; i < index.size(); ++i) {
    final.results[i].node = new_node({});
    index[i] = {SharedBit::Kind::Carry, final.results[i].node, {}};
  }
  add(final);
  return index;
}

void PlanBuilder::add_number_to_both(const SharedBit& bit, std::size_t unit, Word in_value,
                                     Word in_rest) {
  if (unit >= plan_.output_bits_) return;
  add_number(bit, 1, unit);
  plan_.steps_.back().back().in_value = in_value;
  plan_.steps_.back().back().in_rest = in_rest;
}

void PlanBuilder::add_product(std::size_t bit, bool is_last) {
  Lookup product;
  product.kind = Lookup::Kind::Product;
  product.first_bit = bit;
  product.unit = is_last ? 0 : bit + 1;
  product.scale = Word{1} << (bit + 1 - product.unit);
  product.table.choice_bits = 1;
  product.table.message_bits = plan_.output_bits_ - product.unit;
  product.table.has_numbers = true;
  product.is_output = is_last;
  add(product);
}

void PlanBuilder::add_number(const SharedBit& bit, Word scale, std::size_t unit) {
  if (unit >= plan_.output_bits_) return;
  Lookup number;
  number.kind = Lookup::Kind::Number;
  number.table.choice_bits = 1;
  number.table.message_bits = plan_.output_bits_ - unit;
  number.table.has_numbers = true;
  number.bits[0] = bit;
  number.value = bit.number.input;
  number.scale = scale;
  number.unit = unit;
  add(number);
}

void PlanBuilder::add_last_number(const SharedBit& bit, Word scale) {
  add_number(bit, scale, 0);
  plan_.steps_.back().back().is_output = true;
}

void PlanBuilder::select(std::span<const SharedBit> bits, std::size_t deciding,
                         std::span<const Selected> selected) {
  Lookup select;
  select.kind = Lookup::Kind::Select;
  select.table.choice_bits = bits.size();
  select.table.message_bits = plan_.output_bits_;
  select.table.has_numbers = true;
  select.back = select.table;
  select.back.choice_bits = deciding;
  std::copy(selected.begin(), selected.end(), select.selected.begin());
  select.is_output = true;
  std::copy(bits.begin(), bits.end(), select.bits.begin());
  read_back_at(bits.first(deciding), select);
  add(select);
}

LookupPlan PlanBuilder::build() {
  if (plan_.back_transfers_ >= kNoTransfer) {
    throw UsageError("the function takes too many transfers back");
  }
  for (std::vector<Lookup>& step : plan_.steps_) {
    for (Lookup& lookup : step) {
      for (std::size_t i = 0; i < lookup.result_count; ++i) {
        lookup.results[i] = nodes_[lookup.results[i].node];
      }
      count_bits(lookup);
    }
  }
  return plan_;
}

void PlanBuilder::read_back_at(std::span<const SharedBit> bits, Lookup& lookup) {
  for (std::size_t i = 0; i < bits.size(); ++i) {
    lookup.bits[i] = bits[i];
    nodes_[bits[i].node].bit_transfer = plan_.back_transfers_ + i;
    nodes_[bits[i].node].is_sign = bits[i].kind == SharedBit::Kind::Positive;
  }
}

std::size_t PlanBuilder::new_node(const Compared& number) {
  if (nodes_.size() == kNoNode) throw UsageError("the function compares too many bits");
  NodeResult result;
  result.node = nodes_.size();
  result.number = number;
  nodes_.push_back(result);
  return result.node;
}

void PlanBuilder::add(Lookup lookup) {
  const auto append_table = [](Table& table, std::vector<Table>& tables, std::size_t& transfers) {
    table.index = tables.size();
    table.first_transfer = transfers;
    transfers += table.choice_bits;
    tables.push_back(table);
  };
  append_table(lookup.table, plan_.tables_, plan_.transfers_);
  if (lookup.back.choice_bits > 0) {
    append_table(lookup.back, plan_.tables_back_, plan_.back_transfers_);
  }
  plan_.steps_.back().push_back(lookup);
}

void PlanBuilder::count_bits(Lookup& lookup) const {
  // An entry that stands for itself is not sent: none where the filler's share is given.
  const std::size_t entries = lookup.table.entries();
  lookup.choose_bits = lookup.table.choice_bits;
  if (lookup.back.choice_bits > 0) {
    lookup.choose_bits += lookup.back.message_bits * (lookup.back.entries() - 1);
  }
  lookup.table_bits = lookup.table.message_bits * (lookup.is_output ? entries : entries - 1);
  for (std::size_t i = 0; i < lookup.result_count; ++i) {
    if (lookup.results[i].equal_transfer != kNoTransfer) ++lookup.table_bits;
    if (lookup.results[i].bit_transfer != kNoTransfer) ++lookup.table_bits;
  }
}

}  // namespace capc::gc
