// The further layers in the clear: exhaustively at small widths, at random at large ones.

#include <algorithm>
#include <numeric>

#include "check.hpp"
#include "errors.hpp"
#include "layer_circuits.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

__extension__ using Wide = __int128;

std::int64_t as_signed(Word value, std::size_t bits) {
  const auto shift = static_cast<int>(64 - bits);
  return static_cast<std::int64_t>(value << shift) >> shift;
}

/// The circuit's result on these signed words, shared at random, as a number modulo 2^bits.
std::vector<Word> evaluate(const Circuit& circuit, const std::vector<std::int64_t>& x,
                           std::size_t ring_bits) {
  std::vector<Word> a = random_words(x.size());
  std::vector<Word> b(x.size());
  for (std::size_t j = 0; j < x.size(); ++j) {
    a[j] = low_bits(a[j], ring_bits);
    b[j] = low_bits(static_cast<Word>(x[j]) - a[j], ring_bits);
  }
  const std::vector<Word> masks = random_words(circuit.fixed_words());
  PlainOutputs out = evaluate_plain(circuit, a, masks, b);
  CHECK(out.garbler.empty());
  for (std::size_t j = 0; j < masks.size(); ++j) {
    out.evaluator[j] = low_bits(out.evaluator[j] + masks[j], circuit.outputs()[j].bits);
  }
  return out.evaluator;
}

/// Every signed number of few bits; edges and random ones of many.
std::vector<std::int64_t> samples(std::size_t bits) {
  std::vector<std::int64_t> values;
  if (bits <= 9) {
    for (Word v = 0; v < (Word{1} << bits); ++v) values.push_back(as_signed(v, bits));
    return values;
  }
  const Word half = Word{1} << (bits - 1);
  for (const Word v : {Word{0}, Word{1}, half - 1, half, half + 1, ~Word{0}}) {
    values.push_back(as_signed(v, bits));
  }
  for (int i = 0; i < 60; ++i) values.push_back(as_signed(rng()() >> (rng()() % bits), bits));
  return values;
}

void bounded_relu() {
  for (const auto& [bits, shift] : std::vector<std::pair<std::size_t, std::size_t>>{
           {2, 0}, {5, 0}, {8, 2}, {9, 4}, {37, 12}, {47, 0}, {64, 10}}) {
    const std::size_t width = bits - 1 - shift;
    const Word top = (Word{1} << width) - 1;
    for (const Word cap : {Word{1}, Word{3}, Word{6}, Word{6} << 12U, top - 1, top}) {
      if (cap < 1 || cap > top) continue;
      const Circuit circuit = bounded_relu_circuit(bits, shift, cap);
      CHECK(circuit.and_count() == bounded_relu_and_count(bits, shift, cap));
      for (const std::int64_t x : samples(bits)) {
        const auto y = static_cast<Word>(std::max<std::int64_t>(x, 0) >> shift);
        CHECK(evaluate(circuit, {x}, bits).at(0) == std::min(y, cap));
      }
    }
  }
}

void leaky_relu() {
  for (const auto& [bits, shift, fraction] : std::vector<std::array<std::size_t, 3>>{
           {6, 0, 3}, {8, 3, 4}, {9, 2, 0}, {41, 12, 12}, {60, 20, 20}, {64, 0, 12}}) {
    const Word one = Word{1} << fraction;
    for (const Word slope : {Word{0}, Word{1}, one / 5, one / 2, one - 1}) {
      if (slope >= one) continue;
      const Circuit circuit = leaky_relu_circuit(bits, shift, slope, fraction);
      for (const std::int64_t x : samples(bits)) {
        const Wide below = (Wide{x} * static_cast<Wide>(slope)) >> (shift + fraction);
        const auto y = x >= 0 ? x >> shift : static_cast<std::int64_t>(below);
        CHECK(evaluate(circuit, {x}, bits).at(0) == low_bits(static_cast<Word>(y), bits));
      }
    }
  }
}

void square() {
  for (const auto& [bits, shift, fraction] :
       std::vector<std::array<std::size_t, 3>>{{2, 0, 0},
                                               {6, 0, 2},
                                               {8, 2, 3},
                                               {9, 0, 0},
                                               {41, 12, 12},
                                               {47, 0, 12},
                                               {60, 20, 20},
                                               {64, 12, 12}}) {
    const Circuit circuit = square_circuit(bits, shift, fraction);
    std::size_t in_range = 0;
    for (std::int64_t x : samples(bits)) {
      for (int tries = 0; tries < 2; ++tries, x >>= static_cast<int>(bits) / 3) {
        const Wide y = (Wide{x >> shift} * Wide{x >> shift}) >> fraction;
        if (y >= (Wide{1} << (bits - 1))) continue;
        ++in_range;
        CHECK(evaluate(circuit, {x}, bits).at(0) == static_cast<Word>(y));
      }
    }
    CHECK(in_range > 1);
  }
}

void maximum() {
  for (std::size_t window = 1; window <= 10; ++window) {
    for (const std::size_t bits : {1U, 3U, 37U, 64U}) {
      const Circuit circuit = maximum_circuit(bits, window);
      CHECK(circuit.and_count() == maximum_and_count(bits, window));
      for (int i = 0; i < 50; ++i) {
        std::vector<std::int64_t> x;
        for (std::size_t j = 0; j < window; ++j) x.push_back(as_signed(rng()(), bits));
        const std::int64_t y = *std::max_element(x.begin(), x.end());
        CHECK(evaluate(circuit, x, bits).at(0) == low_bits(static_cast<Word>(y), bits));
      }
    }
  }
}

void step() {
  for (const std::size_t bits : {1U, 5U, 37U, 64U}) {
    for (const std::size_t place : {0U, 1U, 31U}) {
      const Circuit circuit = step_circuit(bits, 32, place);
      CHECK(circuit.and_count() == step_and_count(bits));
      for (const std::int64_t x : samples(bits)) {
        CHECK(evaluate(circuit, {x}, bits).at(0) == (x >= 0 ? Word{1} << place : 0U));
      }
    }
  }
}

void check_top_k(const Circuit& circuit, const std::vector<std::int64_t>& x, std::size_t k,
                 std::size_t bits) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return x[i] > x[j]; });
  std::vector<Word> expected(x.size(), 0);
  for (std::size_t i = 0; i < k; ++i) expected[order[i]] = 1;
  CHECK(evaluate(circuit, x, bits) == expected);
}

void top_k() {
  for (std::size_t k = 1; k <= 3; ++k) {
    const Circuit circuit = top_k_circuit(2, 4, k, 8);
    for (Word packed = 0; packed < 256; ++packed) {
      std::vector<std::int64_t> x;
      for (std::size_t j = 0; j < 4; ++j) x.push_back(as_signed(packed >> (2 * j), 2));
      check_top_k(circuit, x, k, 2);
    }
  }
  for (const std::size_t classes : {2U, 3U, 10U}) {
    for (std::size_t k = 1; k < classes; k += 2) {
      const Circuit circuit = top_k_circuit(41, classes, k, 32);
      CHECK(circuit.and_count() == top_k_and_count(41, classes, k));
      for (int i = 0; i < 20; ++i) {
        std::vector<std::int64_t> x;
        for (std::size_t j = 0; j < classes; ++j) x.push_back(as_signed(rng()() % 9 - 4, 41));
        check_top_k(circuit, x, k, 41);
      }
    }
  }
}

void out_of_range() {
  CHECK_THROWS(UsageError, (void)bounded_relu_circuit(8, 2, 32));
  CHECK_THROWS(UsageError, (void)bounded_relu_circuit(8, 2, 0));
  CHECK_THROWS(UsageError, (void)leaky_relu_circuit(8, 2, 16, 4));
  CHECK_THROWS(UsageError, (void)maximum_circuit(8, 0));
  CHECK_THROWS(UsageError, (void)top_k_circuit(8, 3, 3, 8));
}

}  // namespace

int main() {
  return run_tests([] {
    bounded_relu();
    leaky_relu();
    square();
    maximum();
    step();
    top_k();
    out_of_range();
  });
}
