#include "shift_plan.hpp"

#include "plan_builder.hpp"
#include "ranges.hpp"

namespace capc::gc {

LookupPlan shift_plan(std::size_t ring_bits, std::size_t shift, std::size_t output_bits) {
  require_range("ring_bits", ring_bits, 3, 64);
  require_range("shift", shift, 1, ring_bits - 2);
  require_range("output_bits", output_bits, 1, 64);
  const Word figures[] = {ring_bits, shift, output_bits};
  PlanBuilder builder("shift", figures, ring_bits, output_bits, {.shift = shift});
  builder.add_number({SharedBit::Kind::EitherTop, kNoNode, {}}, ~Word{0}, ring_bits - shift);
  PlanBuilder::Nodes nodes = builder.leaves(0, shift, true);
  for (std::size_t levels = merge_levels(nodes.size(), 1); levels > 0; --levels) {
    builder.next_step();
    nodes = builder.merged(nodes, nodes_after(nodes.size(), levels, 1), true);
  }
  builder.next_step();
  builder.add_last_number({SharedBit::Kind::Carry, nodes.front(), {}}, 1);
  return builder.build();
}

}  // namespace capc::gc
