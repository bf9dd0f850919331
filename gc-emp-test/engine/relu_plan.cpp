#include "relu_plan.hpp"

#include <algorithm>

#include "comparison.hpp"
#include "ranges.hpp"

namespace capc::gc {
namespace {

void require_figures(std::size_t ring_bits, std::size_t shift, std::size_t output_bits) {
  require_ring(ring_bits, shift);
  require_range("output_bits", output_bits, 1, ring_bits);
}

/// x >> shift for x >= 0, and the selection by the signs of `numbers`.
[[nodiscard]] LookupPlan selected(PlanBuilder& builder, std::size_t ring_bits, std::size_t shift,
                                  std::span<const Compared> numbers,
                                  std::span<const Selected> results) {
  builder.add_number({SharedBit::Kind::EitherTop, kNoNode, {}}, ~Word{0}, ring_bits - shift);
  const Comparison found = compare(builder, shift, ring_bits - 1, numbers);
  if (found.low != kNoNode) {
    builder.add_number({SharedBit::Kind::Carry, found.low, {}}, 1, 0);
  }
  std::vector<SharedBit> signs;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    signs.push_back({SharedBit::Kind::Positive, found.carries[i], numbers[i]});
  }
  builder.next_step();
  builder.select(signs, signs.size(), results);
  return builder.build();
}

}  // namespace

LookupPlan relu_plan(std::size_t ring_bits, std::size_t shift, std::size_t output_bits) {
  require_figures(ring_bits, shift, output_bits);
  const Word figures[] = {ring_bits, shift, output_bits};
  PlanBuilder builder("relu", figures, ring_bits, output_bits, {.shift = shift});
  const Compared input[] = {{}};
  const Selected results[] = {{}, {0}};
  return selected(builder, ring_bits, shift, input, results);
}

LookupPlan bounded_relu_plan(std::size_t ring_bits, std::size_t shift, Word cap,
                             std::size_t output_bits) {
  require_figures(ring_bits, shift, output_bits);
  require_range("cap", cap, 1, (Word{1} << (ring_bits - 1 - shift)) - 1);
  const Word figures[] = {ring_bits, shift, cap, output_bits};
  PlanBuilder builder("bounded relu", figures, ring_bits, output_bits, {.shift = shift});
  const Compared numbers[] = {{}, {.taken_off = cap << shift}};
  const Selected results[] = {{}, {0}, {}, {kNoValue, cap}};  // the cap where both are positive
  return selected(builder, ring_bits, shift, numbers, results);
}

}  // namespace capc::gc
