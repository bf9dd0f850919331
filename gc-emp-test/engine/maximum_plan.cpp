#include "maximum_plan.hpp"

#include <algorithm>

#include "plan_builder.hpp"
#include "ranges.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kMostOfOneMerge = kMaxChildren * kMaxChoiceBits;

/// Two inputs, the second of which may be the greater one. The pairs; then, for each pair of
/// winners, these: that of the first pair as bit 0.
[[nodiscard]] std::vector<Compared> differences(std::size_t inputs) {
  if (inputs == 2) return {{1, 0}};
  if (inputs == 3) return {{1, 0}, {2, 0}, {2, 1}};
  return {{1, 0}, {3, 2}, {2, 0}, {2, 1}, {3, 0}, {3, 1}};
}

/// Whether each of these numbers is 0 or more.
[[nodiscard]] std::vector<SharedBit> signs_of(PlanBuilder& builder,
                                              const std::vector<Compared>& numbers,
                                              std::size_t low_bits) {
  // One merge joins five leaves, of up to four bits; else they have three bits, as elsewhere.
  const bool is_short = low_bits <= kMostOfOneMerge;
  const std::size_t count = std::min(leaf_count(low_bits), is_short ? kMaxChildren : low_bits);
  std::vector<PlanBuilder::Nodes> trees;
  for (const Compared& number : numbers) {
    trees.push_back(builder.leaves_of(number, low_bits, count));
  }
  for (std::size_t levels = is_short && count > 1 ? 1 : merge_levels(count, 1); levels > 0;
       --levels) {
    builder.next_step();
    for (PlanBuilder::Nodes& tree : trees) {
      const std::size_t left = levels == 1 ? 1 : nodes_after(tree.size(), levels, 1);
      tree = builder.merged(tree, left, true);
    }
  }
  std::vector<SharedBit> signs;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    signs.push_back({SharedBit::Kind::Positive, trees[i].front(), numbers[i]});
  }
  return signs;
}

}  // namespace

LookupPlan maximum_plan(std::size_t ring_bits, std::size_t inputs, std::size_t output_bits) {
  require_ring(ring_bits, 0);
  require_range("inputs", inputs, 2, kMaxMaximumInputs);
  require_range("output_bits", output_bits, ring_bits, 64);
  const Word figures[] = {ring_bits, inputs, output_bits};
  PlanBuilder builder("maximum", figures, ring_bits, output_bits, {}, inputs);
  for (std::size_t k = 0; k < inputs; ++k) {  // into the larger ring: w
    builder.add_number({SharedBit::Kind::EitherTop, kNoNode, {.input = k}}, ~Word{0}, ring_bits);
  }
  const std::vector<SharedBit> signs = signs_of(builder, differences(inputs), ring_bits - 1);
  builder.next_step();
  const Selected results[] = {{0}, {1}, {2}, {inputs - 1}};  // of three numbers none is the fourth
  if (inputs == 2) {
    builder.select(signs, 1, {results, 2});
  } else {
    const std::span<const SharedBit> all(signs);
    const auto index = builder.greatest(all.first(inputs - 2), all.subspan(inputs - 2));
    builder.next_step();
    builder.select(index, index.size(), results);
  }
  return builder.build();
}

}  // namespace capc::gc
