// Squares and piecewise-linear functions, exhaustively at small widths and garbled;
// circuits as text.

#include <algorithm>
#include <functional>

#include "bristol.hpp"
#include "check.hpp"
#include "circuits.hpp"
#include "errors.hpp"
#include "layer_circuits.hpp"
#include "pair.hpp"
#include "smooth_circuits.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

std::int64_t as_signed(Word value, std::size_t bits) {
  const auto shift = static_cast<int>(64 - bits);
  return static_cast<std::int64_t>(value << shift) >> shift;
}

using Function = std::function<std::int64_t(std::int64_t)>;

void check_value(const Circuit& circuit, std::size_t bits, Word x, const Function& function) {
  const Word a = low_bits(rng()(), bits);
  const Word m = low_bits(rng()(), bits);
  const Word b = low_bits(x - a, bits);
  const auto expected = static_cast<Word>(function(as_signed(x, bits)));
  const auto out = evaluate_plain(circuit, {&a, 1}, {&m, 1}, {&b, 1});
  CHECK(out.evaluator.at(0) == low_bits(expected - m, bits));
}

void check_everywhere(const Circuit& circuit, std::size_t bits, const Function& function) {
  for (Word x = 0; x < (Word{1} << bits); ++x) check_value(circuit, bits, x, function);
}

void squares() {
  for (std::size_t bits = 4; bits <= 12; ++bits) {
    for (std::size_t shift = 0; shift + 2 <= bits; ++shift) {
      for (const std::size_t drop : {0U, 1U, 4U}) {
        for (std::size_t n = 2; n <= (bits + drop) / 2; ++n) {
          if (shift + n > bits || drop >= 2 * n) continue;
          const Circuit circuit = narrow_square_circuit(bits, shift, drop, n);
          if (shift + n < bits) CHECK(circuit.and_count() == narrow_square_and_count(shift, n));
          for (Word x = 0; x < (Word{1} << bits); ++x) {
            const std::int64_t v = as_signed(x, bits) >> shift;
            if (v >= (1 << n) || v <= -(1 << n)) continue;
            check_value(circuit, bits, x, [&](std::int64_t) { return (v * v) >> drop; });
          }
        }
      }
    }
  }
  const Circuit wide = narrow_square_circuit(64, 12, 12, 38);
  CHECK(wide.and_count() == narrow_square_and_count(12, 38));
}

void piecewise_linear() {
  const PiecewiseLinear bent{3, 2, {-3, 5, 0, -1}, {9, -7, 2, 30}, -2, std::nullopt};
  const PiecewiseLinear flat{3, 1, {1, 2, 7, 3}, {-1, 0, 3, 8}, 0, 11};
  for (const PiecewiseLinear& table : {bent, flat}) {
    for (const std::size_t bits : {4U, 5U, 9U}) {
      for (std::size_t shift = 0; shift < 3; ++shift) {
        const Circuit circuit = piecewise_linear_circuit(bits, shift, table);
        CHECK(circuit.and_count() <= piecewise_linear_and_count(bits, shift, table));
        check_everywhere(circuit, bits, [&](std::int64_t x) -> std::int64_t {
          const std::int64_t v = x >> shift;
          if (v < -8) return table.below;
          if (v >= 8) return table.above.value_or(v);
          const auto j = static_cast<std::size_t>((v + 8) >> 2);
          return (table.bases[j] + table.slopes[j] * ((v + 8) & 3)) >> table.slope_bits;
        });
      }
    }
  }
  CHECK(piecewise_linear_circuit(9, 1, bent).and_count() == piecewise_linear_and_count(9, 1, bent));
  PiecewiseLinear broken = bent;
  broken.bases.pop_back();
  CHECK_THROWS(UsageError, (void)piecewise_linear_circuit(9, 0, broken));
}

void garbled_equals_plain() {
  Pair pair;
  pair.set_up();
  const PiecewiseLinear table{5, 2, {-3, 5, 0, -1}, {9, -7, 2, 30}, -2, std::nullopt};
  for (const Circuit& source :
       {narrow_square_circuit(47, 12, 12, 20), piecewise_linear_circuit(47, 12, table)}) {
    const CircuitPtr circuit = compile(source);
    const std::size_t n = 37;
    const auto a = random_words(n * source.online_words());
    const auto fixed = random_words(n * source.fixed_words());
    const auto b = random_words(n * source.evaluator_words());
    const auto expected = plain_many(source, n, a, fixed, b).evaluator;
    CHECK(pair.run_in_phases(circuit, n, a, fixed, b).evaluator == expected);
    CHECK(pair.run(circuit, n, a, fixed, b).evaluator == expected);
  }
}

void bristol() {
  for (const Circuit& source :
       {relu_circuit(13, 3), bounded_relu_circuit(9, 2, 13), argmax_circuit(7, 4, 5),
        narrow_square_circuit(12, 2, 2, 5), noisy_argmax_circuit(6, 3, true)}) {
    const Circuit lowered = lower_shared_outputs(source);
    std::vector<InputKind> owners;
    for (const InputWord& word : lowered.inputs()) owners.push_back(word.kind);
    const std::string text = to_bristol(source);
    const Circuit read = from_bristol(text, owners, OutputKind::Evaluator);
    CHECK(to_bristol(read) == text);
    CHECK(read.and_count() == lowered.and_count());
    const auto a = random_words(lowered.online_words());
    const auto fixed = random_words(lowered.fixed_words());
    const auto b = random_words(lowered.evaluator_words());
    const auto out = evaluate_plain(read, a, fixed, b).evaluator;
    const auto expected = evaluate_plain(lowered, a, fixed, b);
    CHECK(std::equal(expected.garbler.begin(), expected.garbler.end(), out.begin()));
    CHECK(std::equal(expected.evaluator.begin(), expected.evaluator.end(),
                     out.end() - static_cast<std::ptrdiff_t>(expected.evaluator.size())));
  }
  const std::vector<InputKind> one{InputKind::Evaluator};
  for (const char* text :
       {"", "1", "1 2\n1 1\n1 1\n\n1 1 0 1 NOR\n", "1 2\n1 1\n1 1\n\n2 1 0 7 1 XOR\n",
        "2 2\n1 1\n1 1\n\n1 1 0 1 INV\n", "1 2\n1 1\n1 1\n\n1 1 0 0 INV\n",
        "1 2\n1 1\n1 1\n\n1 1 0 1 INV\n1 1 0 1 INV\n", "1 2\n2 1 1\n1 1\n\n1 1 0 1 INV\n",
        "1 2\n1 1\n1 3\n\n1 1 0 1 INV\n", "1 2\n1 1\n1 1\n\n1 1 0 -1 INV\n",
        "99999999999999999999 2\n1 1\n1 1\n", "1 2\n1 1\n1 1\n\n60000000 60000000 0 1 MAND\n"}) {
    CHECK_THROWS(UsageError, (void)from_bristol(text, one, OutputKind::Evaluator));
  }
}

}  // namespace

int main() {
  return run_tests([] {
    squares();
    piecewise_linear();
    garbled_equals_plain();
    bristol();
  });
}
