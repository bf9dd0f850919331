#pragma once

#include <algorithm>
#include <functional>

#include "lookup_plan.hpp"
#include "number_plans.hpp"
#include "relu_plan.hpp"

// Functions by table look-ups, each beside what it says in the open.

namespace capc::gc::test {

/// A function of one number of a ring, in the open.
struct Function {
  LookupPlan plan;
  std::function<Word(Word)> plain;
};

inline Word shifted_relu(std::size_t ring_bits, std::size_t shift, Word x) {
  return bit_at(x, ring_bits - 1) != 0 ? 0 : x >> shift;
}

inline Function relu(std::size_t ring_bits, std::size_t shift, std::size_t output_bits) {
  return {relu_plan(ring_bits, shift, output_bits),
          [=](Word x) { return shifted_relu(ring_bits, shift, x); }};
}

inline Function bounded_relu(std::size_t ring_bits, std::size_t shift, Word cap,
                             std::size_t output_bits) {
  return {bounded_relu_plan(ring_bits, shift, cap, output_bits),
          [=](Word x) { return std::min(shifted_relu(ring_bits, shift, x), cap); }};
}

inline Function rescale(std::size_t ring_bits, std::size_t shift) {
  return {rescale_plan(ring_bits, shift), [=](Word x) {
            const Word half = Word{1} << (ring_bits - 1);
            return (low_bits(x + half, ring_bits) >> shift) - (half >> shift);
          }};
}

inline Function step(std::size_t ring_bits, std::size_t scale_bits) {
  return {step_plan(ring_bits, scale_bits),
          [=](Word x) { return (1 ^ bit_at(x, ring_bits - 1)) << scale_bits; }};
}

/// The value in the open less the mask, modulo 2^output_bits.
inline Word expected(const Function& function, Word a, Word b, Word mask) {
  const Word x = low_bits(a + b, function.plan.ring_bits());
  return low_bits(function.plain(x) - mask, function.plan.output_bits());
}

}  // namespace capc::gc::test
