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

/// x >> shift for x >= 0, and the selection by the signs of x less each of `taken_off`.
[[nodiscard]] LookupPlan selected(PlanBuilder& builder, std::size_t ring_bits, std::size_t shift,
                                  std::span<const Word> taken_off, Word cap) {
  builder.add_number({SharedBit::Kind::EitherTop, kNoNode, 0}, ~Word{0}, ring_bits - shift);
  const Comparison found = compare(builder, shift, ring_bits - 1, taken_off);
  if (found.low != kNoNode) {
    builder.add_number({SharedBit::Kind::Carry, found.low, 0}, 1, 0);
  }
  std::vector<SharedBit> signs;
  for (std::size_t i = 0; i < taken_off.size(); ++i) {
    signs.push_back({SharedBit::Kind::Positive, found.carries[i], taken_off[i]});
  }
  builder.next_step();
  builder.select(signs, cap);
  return builder.build();
}

}  // namespace

LookupPlan relu_plan(std::size_t ring_bits, std::size_t shift, std::size_t output_bits) {
  require_figures(ring_bits, shift, output_bits);
  const Word figures[] = {ring_bits, shift, output_bits};
  PlanBuilder builder("relu", figures, ring_bits, output_bits, {.shift = shift});
  const Word taken_off[] = {0};
  return selected(builder, ring_bits, shift, taken_off, 0);
}

LookupPlan bounded_relu_plan(std::size_t ring_bits, std::size_t shift, Word cap,
                             std::size_t output_bits) {
  require_figures(ring_bits, shift, output_bits);
  require_range("cap", cap, 1, (Word{1} << (ring_bits - 1 - shift)) - 1);
  const Word figures[] = {ring_bits, shift, cap, output_bits};
  PlanBuilder builder("bounded relu", figures, ring_bits, output_bits, {.shift = shift});
  const Word taken_off[] = {0, cap << shift};
  return selected(builder, ring_bits, shift, taken_off, cap);
}

}  // namespace capc::gc
