// Circuits in the clear: exhaustively at small widths against arithmetic, and gate counts.

#include <algorithm>
#include <span>
#include <vector>

#include "builder.hpp"
#include "check.hpp"
#include "circuits.hpp"
#include "errors.hpp"
#include "program.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

std::int64_t as_signed(Word value, std::size_t bits) {
  const auto shift = static_cast<int>(64 - bits);
  return static_cast<std::int64_t>(value << shift) >> shift;
}

Word rescaled(Word a, Word b, std::size_t bits, std::size_t shift, bool relu) {
  std::int64_t x = as_signed(a + b, bits);
  if (relu) x = std::max<std::int64_t>(x, 0);
  return static_cast<Word>(x >> shift);
}

void check_rescale(std::size_t bits, std::size_t shift, bool relu, Word a, Word b, Word m,
                   const Circuit& circuit, const Circuit& lowered) {
  const Word expected = low_bits(rescaled(a, b, bits, shift, relu) - m, bits);
  CHECK(evaluate_plain(circuit, {&a, 1}, {&m, 1}, {&b, 1}).evaluator.at(0) == expected);
  CHECK(evaluate_plain(lowered, {&a, 1}, {&m, 1}, {&b, 1}).evaluator.at(0) == expected);
}

void rescale_circuits() {
  for (std::size_t bits = 2; bits <= 5; ++bits) {
    for (std::size_t shift = 0; shift + 2 <= bits; ++shift) {
      for (const bool relu : {false, true}) {
        const Circuit circuit = relu ? relu_circuit(bits, shift) : truncate_circuit(bits, shift);
        const Circuit lowered = lower_shared_outputs(circuit);
        const Word size = Word{1} << bits;
        for (Word a = 0; a < size; ++a) {
          for (Word b = 0; b < size; ++b) {
            for (Word m = 0; m < size; ++m) {
              check_rescale(bits, shift, relu, a, b, m, circuit, lowered);
            }
          }
        }
      }
    }
  }
  for (const std::size_t bits : {32U, 47U, 63U, 64U}) {
    for (const std::size_t shift : {0U, 1U, 12U, 30U}) {
      const Circuit relu = relu_circuit(bits, shift);
      const Circuit truncate = truncate_circuit(bits, shift);
      CHECK(relu.and_count() == relu_and_count(bits, shift));
      CHECK(truncate.and_count() == truncate_and_count(bits));
      const Circuit relu_lowered = lower_shared_outputs(relu);
      const Circuit truncate_lowered = lower_shared_outputs(truncate);
      CHECK(relu_lowered.term_count() == 0 && relu_lowered.fixed_words() == 1);
      const Word half = Word{1} << (bits - 1);
      for (const Word x : {Word{0}, Word{1}, half - 1, half, half + 1, low_bits(~Word{0}, bits)}) {
        for (int i = 0; i < 5; ++i) {
          const Word a = low_bits(rng()(), bits);
          const Word b = low_bits(x - a, bits);
          const Word m = low_bits(rng()(), bits);
          check_rescale(bits, shift, true, a, b, m, relu, relu_lowered);
          check_rescale(bits, shift, false, a, b, m, truncate, truncate_lowered);
        }
      }
    }
  }
}

std::size_t argmax_of(const std::vector<std::int64_t>& values) {
  return static_cast<std::size_t>(
      std::distance(values.begin(), std::max_element(values.begin(), values.end())));
}

void check_argmax(const Circuit& circuit, const std::vector<Word>& logits, std::size_t bits,
                  std::size_t vote_bits, std::size_t vote_shift = 0) {
  const std::size_t classes = logits.size();
  std::vector<Word> a = random_words(classes);
  std::vector<Word> s = random_words(classes);
  std::vector<Word> b(classes);
  std::vector<std::int64_t> values(classes);
  for (std::size_t j = 0; j < classes; ++j) {
    a[j] = low_bits(a[j], bits);
    s[j] = low_bits(s[j], vote_bits);
    b[j] = low_bits(logits[j] - a[j], bits);
    values[j] = as_signed(logits[j], bits);
  }
  const auto out = evaluate_plain(circuit, a, s, b);
  const std::size_t best = argmax_of(values);
  CHECK(out.garbler.empty() && out.evaluator.size() == classes);
  for (std::size_t j = 0; j < classes; ++j) {
    CHECK(low_bits(out.evaluator[j] + s[j], vote_bits) == (j == best ? Word{1} << vote_shift : 0U));
  }
}

void argmax_circuits() {
  for (std::size_t classes = 1; classes <= 4; ++classes) {
    const Circuit circuit = argmax_circuit(3, classes, 5);
    for (Word packed = 0; packed < (Word{1} << (3 * classes)); ++packed) {
      std::vector<Word> logits;
      for (std::size_t j = 0; j < classes; ++j) logits.push_back((packed >> (3 * j)) & 7U);
      check_argmax(circuit, logits, 3, 5);
    }
  }
  for (std::size_t classes = 1; classes <= 17; ++classes) {
    for (const std::size_t bits : {1U, 8U, 37U, 47U, 64U}) {
      const Circuit circuit = argmax_circuit(bits, classes, 32);
      CHECK(circuit.and_count() == argmax_and_count(bits, classes));
      const std::vector<Word> pool = random_words(3);  // few values, so that ties happen
      for (int i = 0; i < 20; ++i) {
        std::vector<Word> logits;
        for (std::size_t j = 0; j < classes; ++j) logits.push_back(pool[rng()() % 3]);
        check_argmax(circuit, logits, bits, 32);
        check_argmax(argmax_circuit(bits, classes, 32, 8), logits, bits, 32, 8);
      }
    }
  }
}

void check_noisy(std::size_t bits, const std::vector<std::int64_t>& votes,
                 const std::vector<std::int64_t>& noise, std::int64_t threshold_margin,
                 const Circuit* with, const Circuit& without) {
  const std::size_t classes = votes.size();
  std::vector<Word> masks = random_words(classes);
  std::vector<Word> online(2 * classes), sums(classes);
  std::vector<std::int64_t> noisy(classes);
  for (std::size_t j = 0; j < classes; ++j) {
    sums[j] = low_bits(static_cast<Word>(votes[j]) - masks[j], bits);
    online[j] = low_bits(masks[j] + static_cast<Word>(noise[j]), bits);
    online[classes + j] = low_bits(masks[j] + static_cast<Word>(threshold_margin), bits);
    noisy[j] = votes[j] + noise[j];
  }
  const std::size_t label = argmax_of(noisy);
  const auto plain =
      evaluate_plain(without, std::span<const Word>(online).first(classes), {}, sums);
  CHECK(plain.evaluator.at(0) == label && plain.garbler.empty());
  if (with == nullptr) return;
  const bool answered = *std::max_element(votes.begin(), votes.end()) + threshold_margin >= 0;
  const auto out = evaluate_plain(*with, online, {}, sums);
  CHECK(out.garbler.at(0) == (answered ? 1U : 0U));
  CHECK(out.evaluator.at(0) == (answered ? 1U : 0U));
  CHECK(out.evaluator.at(1) == (answered ? label : 0U));
}

void noisy_argmax_circuits() {
  for (std::size_t classes = 1; classes <= 3; ++classes) {
    const Circuit with = noisy_argmax_circuit(5, classes, true);
    const Circuit without = noisy_argmax_circuit(5, classes, false);
    const auto total = static_cast<std::size_t>(1) << (4 * classes);  // 2 bits of vote and noise
    for (std::size_t packed = 0; packed < total; ++packed) {
      std::vector<std::int64_t> votes, noise;
      for (std::size_t j = 0; j < classes; ++j) {
        votes.push_back(static_cast<std::int64_t>((packed >> (4 * j)) & 3U));
        noise.push_back(static_cast<std::int64_t>((packed >> (4 * j + 2)) & 3U) - 2);
      }
      for (const std::int64_t margin : {-4, -2, -1, 0, 3}) {
        check_noisy(5, votes, noise, margin, &with, without);
      }
    }
  }
  for (const std::size_t classes : {1U, 2U, 3U, 7U, 10U, 33U}) {
    const Circuit with = noisy_argmax_circuit(32, classes, true);
    const Circuit without = noisy_argmax_circuit(32, classes, false);
    CHECK(with.and_count() == noisy_argmax_and_count(32, classes, true));
    CHECK(without.and_count() == noisy_argmax_and_count(32, classes, false));
    for (int i = 0; i < 50; ++i) {
      std::vector<std::int64_t> votes, noise;
      for (std::size_t j = 0; j < classes; ++j) {
        votes.push_back(static_cast<std::int64_t>(rng()() % 4));
        noise.push_back(as_signed(rng()(), 30));  // far below zero too: negative counts must lose
      }
      const auto margin = -static_cast<std::int64_t>(rng()() % 5);
      check_noisy(32, votes, noise, margin, &with, without);
    }
  }
}

void malformed_circuits() {
  const InputWord word{InputKind::Evaluator, kNoPartner, {0}};
  const OutputWord out{OutputKind::Evaluator, 1, {1}, {}};
  CHECK(Circuit({word}, {{GateKind::Inv, 0, 0, 1}}, {out}).and_depth() == 0);
  CHECK_THROWS(UsageError, Circuit({word}, {{GateKind::Xor, 0, 2, 1}}, {out}));
  CHECK_THROWS(UsageError, Circuit({word}, {{GateKind::Xor, 0, 0, 0}}, {out}));
  CHECK_THROWS(UsageError, Circuit({word}, {}, {out}));
  CHECK_THROWS(UsageError, Circuit({{InputKind::Evaluator, 0, {0}}}, {}, {}));
  CHECK_THROWS(UsageError, Circuit({word}, {}, {{OutputKind::Evaluator, 65, {0}, {}}}));
  CHECK_THROWS(UsageError, Circuit({word}, {}, {{OutputKind::Shared, 4, {}, {{0, 4, false}}}}));
  CHECK_THROWS(UsageError, (void)relu_circuit(65, 0));
  CHECK_THROWS(UsageError, (void)relu_circuit(8, 7));
  CHECK_THROWS(UsageError, (void)argmax_circuit(8, 0, 8));
  CHECK_THROWS(UsageError, (void)argmax_circuit(8, 3, 8, 8));
}

void slots_are_few() {
  // Labels of one block must fit the second-level cache; reuse keeps far below one slot a wire.
  const Circuit circuit = argmax_circuit(47, 10, 32);
  const Program program(circuit);
  CHECK(program.slot_count() < circuit.wire_count() / 3);
}

/// Steps abreast need nothing of each other, and most of an argmax's gates stand with others.
void gates_abreast() {
  const Circuit circuit = argmax_circuit(47, 10, 32);
  const Program program(circuit, Order::ByLevels);
  std::vector<bool> seen(circuit.and_count(), false);
  std::size_t groups = 0;
  for (std::size_t i = 0; i < program.ops().size(); i += program.ops()[i].abreast) {
    const std::span group(&program.ops()[i], program.ops()[i].abreast);
    CHECK(group.size() >= 1 && group.size() <= kAbreast);
    CHECK(group.size() == 1 || group[0].is_and);
    groups += group[0].is_and ? 1 : 0;
    for (std::size_t j = 0; j < group.size(); ++j) {
      if (!group[j].is_and) continue;
      CHECK(!seen[group[j].gate]);
      seen[group[j].gate] = true;
      for (std::size_t k = 0; k < j; ++k) {
        CHECK(group[j].a != group[k].out && group[j].b != group[k].out);
        CHECK(group[j].out != group[k].out);
      }
    }
  }
  CHECK(std::all_of(seen.begin(), seen.end(), [](bool was) { return was; }));
  CHECK(groups < circuit.and_count() * 2 / 5);
}

}  // namespace

int main() {
  return run_tests([] {
    rescale_circuits();
    argmax_circuits();
    noisy_argmax_circuits();
    malformed_circuits();
    slots_are_few();
    gates_abreast();
  });
}
