#include "leaky_relu_plan.hpp"

#include <algorithm>
#include <utility>

#include "comparison.hpp"
#include "plan_builder.hpp"
#include "ranges.hpp"

namespace capc::gc {

LookupPlan leaky_relu_plan(std::size_t ring_bits, std::size_t shift, Word slope,
                           std::size_t slope_bits) {
  require_ring(ring_bits, shift);
  require_range("slope_bits", slope_bits, 1, std::min(ring_bits - shift, kMaxSlopeBits));
  require_range("slope", slope, 1, (Word{1} << slope_bits) - 1);
  const Word figures[] = {ring_bits, shift, slope, slope_bits};
  // For x < 0 the sum is the rest, and the value is what x >= 0 has more. Both are multiples of
  // 2^unit in w; with w = 0 the rest has -slope.
  const std::size_t unit = ring_bits - shift - slope_bits;
  const Word without_w = slope << unit;
  PlanBuilder builder("leaky relu", figures, ring_bits, ring_bits,
                      {.shift = shift,
                       .taken_off = Word{0} - without_w,
                       .slope = slope,
                       .slope_bits = slope_bits,
                       .rest_taken_off = without_w});
  builder.add_number_to_both({SharedBit::Kind::EitherTop, kNoNode, {}}, unit,
                             Word{0} - (slope + (Word{1} << slope_bits)), slope);
  PlanBuilder::Nodes sloped = builder.sloped_leaves(shift + slope_bits);
  const Compared input[] = {{}};
  const Comparison found = compare(builder, shift, ring_bits - 1, input, std::move(sloped));
  if (found.low != kNoNode) {
    builder.add_number({SharedBit::Kind::Carry, found.low, {}}, 1, 0);
  }
  builder.next_step();
  // The carry of the sloped shares counts where the sign says that x < 0.
  const SharedBit bits[] = {{SharedBit::Kind::Positive, found.carries.front(), {}},
                            {SharedBit::Kind::Carry, found.beside, {}}};
  const Selected results[] = {{}, {0}, {kNoValue, 1}, {0}};
  builder.select(bits, 1, results);
  return builder.build();
}

}  // namespace capc::gc
