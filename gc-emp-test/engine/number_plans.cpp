#include "number_plans.hpp"

#include "comparison.hpp"
#include "ranges.hpp"

namespace capc::gc {
namespace {

constexpr Compared kInput[] = {{}};

}  // namespace

LookupPlan rescale_plan(std::size_t ring_bits, std::size_t shift) {
  require_range("ring_bits", ring_bits, 3, 64);
  require_range("shift", shift, 1, ring_bits - 2);
  const Word figures[] = {ring_bits, shift};
  const LocalPart local{.added = Word{1} << (ring_bits - 1),
                        .shift = shift,
                        .taken_off = Word{1} << (ring_bits - 1 - shift)};
  PlanBuilder builder("rescale", figures, ring_bits, ring_bits, local);
  const Comparison found = compare(builder, shift, ring_bits, kInput);
  builder.next_step();
  builder.add_number({SharedBit::Kind::Carry, found.carries[0], {}}, ~Word{0}, ring_bits - shift);
  builder.add_last_number({SharedBit::Kind::Carry, found.low, {}}, 1);
  return builder.build();
}

LookupPlan step_plan(std::size_t ring_bits, std::size_t scale_bits) {
  require_ring(ring_bits, 0);
  require_range("scale_bits", scale_bits, 0, ring_bits - 1);
  const Word figures[] = {ring_bits, scale_bits};
  PlanBuilder builder("step", figures, ring_bits, ring_bits, {.has_value = false});
  const Comparison found = compare(builder, 0, ring_bits - 1, kInput);
  builder.next_step();
  builder.add_last_number({SharedBit::Kind::Positive, found.carries[0], {}}, Word{1} << scale_bits);
  return builder.build();
}

LookupPlan widened_plan(std::size_t ring_bits, std::size_t output_bits) {
  require_ring(ring_bits, 0);
  require_range("output_bits", output_bits, ring_bits + 1, 64);
  const Word figures[] = {ring_bits, output_bits};
  PlanBuilder builder("widened", figures, ring_bits, output_bits, {});
  builder.add_last_number({SharedBit::Kind::EitherTop, kNoNode, {}},
                          Word{0} - (Word{1} << ring_bits));
  return builder.build();
}

}  // namespace capc::gc
