#include "square_plan.hpp"

#include "plan_builder.hpp"
#include "ranges.hpp"

namespace capc::gc {

LookupPlan square_plan(std::size_t ring_bits) {
  require_range("ring_bits", ring_bits, 2, 64);
  const Word figures[] = {ring_bits};
  PlanBuilder builder("square", figures, ring_bits, ring_bits, {.is_squared = true});
  for (std::size_t bit = ring_bits - 1; bit-- > 0;) builder.add_product(bit, bit == 0);
  return builder.build();
}

}  // namespace capc::gc
