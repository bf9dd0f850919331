#include "comparison.hpp"

#include <algorithm>

namespace capc::gc {

Comparison compare(PlanBuilder& builder, std::size_t cut, std::size_t end_bit,
                   std::span<const Compared> numbers, PlanBuilder::Nodes beside) {
  PlanBuilder::Nodes low = builder.leaves(0, cut, true);
  const bool alone = low.empty();  // then the high part's lowest node is the lowest of all
  std::vector<PlanBuilder::Nodes> trees = builder.leaves(cut, end_bit, alone, numbers);
  const std::size_t high_nodes = alone ? 1 : kMergedNodes - 1;
  const std::size_t beside_nodes = alone ? 1 : kMergedNodes;
  std::size_t levels =
      std::max({merge_levels(low.size(), 1), merge_levels(trees[0].size(), high_nodes),
                merge_levels(beside.size(), beside_nodes)});
  for (; levels > 0; --levels) {
    builder.next_step();
    if (!alone) low = builder.merged(low, nodes_after(low.size(), levels, 1), true);
    for (PlanBuilder::Nodes& tree : trees) {
      tree = builder.merged(tree, nodes_after(tree.size(), levels, high_nodes), alone);
    }
    beside = builder.merged(beside, nodes_after(beside.size(), levels, beside_nodes), true);
  }
  Comparison found;
  if (!alone) {
    found.low = low.front();
    builder.next_step();
  }
  for (const PlanBuilder::Nodes& tree : trees) {
    PlanBuilder::Nodes all = low;
    all.insert(all.end(), tree.begin(), tree.end());
    found.carries.push_back(builder.merged(all, 1, true).front());
  }
  if (!beside.empty()) found.beside = builder.merged(beside, 1, true).front();
  return found;
}

}  // namespace capc::gc
