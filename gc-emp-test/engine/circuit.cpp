#include "circuit.hpp"

#include <algorithm>
#include <string>

#include "builder.hpp"
#include "errors.hpp"
#include "word_digest.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kMaxWires = std::size_t{1} << 28;

std::uint64_t digest_of(const Circuit& circuit) {
  std::vector<std::uint8_t> text;
  text.reserve(24 * circuit.gates().size() + 1024);
  append_number(text, circuit.inputs().size());
  for (const InputWord& word : circuit.inputs()) {
    append_number(text, static_cast<std::uint64_t>(word.kind));
    append_number(text, static_cast<std::uint64_t>(static_cast<std::int64_t>(word.partner)));
    append_number(text, word.wires.size());
  }
  append_number(text, circuit.gates().size());
  for (const Gate& gate : circuit.gates()) {
    append_number(text, (std::uint64_t{gate.out} << 8U) | static_cast<std::uint64_t>(gate.kind));
    append_number(text, (std::uint64_t{gate.a} << 32U) | gate.b);
  }
  append_number(text, circuit.outputs().size());
  for (const OutputWord& word : circuit.outputs()) {
    append_number(text, static_cast<std::uint64_t>(word.kind));
    append_number(text, word.bits);
    append_number(text, word.wires.size());
    for (const Wire wire : word.wires) append_number(text, wire);
    append_number(text, word.terms.size());
    for (const SharedTerm& term : word.terms) {
      append_number(text, (std::uint64_t{term.wire} << 16U) | (std::uint64_t{term.shift} << 8U) |
                              static_cast<std::uint64_t>(term.negative));
    }
  }
  return short_digest(text);
}

void check_width(std::size_t bits, const char* what) {
  if (bits < 1 || bits > 64) {
    throw UsageError(std::string(what) + " has " + std::to_string(bits) +
                     " bits; allowed are 1 to 64");
  }
}

}  // namespace

Circuit::Circuit(std::vector<InputWord> inputs, std::vector<Gate> gates,
                 std::vector<OutputWord> outputs)
    : inputs_(std::move(inputs)), gates_(std::move(gates)), outputs_(std::move(outputs)) {
  check_and_measure();
  digest_ = digest_of(*this);
}

void Circuit::check_and_measure() {
  std::size_t input_wires = 0;
  has_offline_phase_ = true;
  for (const InputWord& word : inputs_) {
    check_width(word.wires.size(), "an input word");
    for (const Wire wire : word.wires) {
      if (wire != input_wires++) throw UsageError("input wires are not numbered in order from 0");
    }
    if (word.kind == InputKind::GarblerOnline) has_offline_phase_ &= word.partner != kNoPartner;
    if (word.partner != kNoPartner &&
        (word.kind != InputKind::GarblerOnline || word.partner < 0 ||
         static_cast<std::size_t>(word.partner) >= evaluator_words())) {
      throw UsageError("an input word names a partner that does not exist");
    }
  }
  std::vector<std::size_t> evaluator_widths;
  for (const InputWord& word : inputs_) {
    if (word.kind == InputKind::Evaluator) evaluator_widths.push_back(word.wires.size());
  }
  std::vector<bool> paired(evaluator_widths.size(), false);
  for (const InputWord& word : inputs_) {
    if (word.partner == kNoPartner) continue;
    const auto partner = static_cast<std::size_t>(word.partner);
    if (evaluator_widths[partner] != word.wires.size()) {
      throw UsageError("an input word and its partner differ in width");
    }
    paired[partner] = true;
  }
  has_offline_phase_ &= std::find(paired.begin(), paired.end(), false) == paired.end();
  wire_count_ = input_wires + gates_.size();
  if (wire_count_ > kMaxWires) throw UsageError("the circuit has too many wires");
  std::vector<std::uint32_t> depth(wire_count_, 0);
  std::vector<bool> known(wire_count_, false);
  std::fill_n(known.begin(), input_wires, true);
  const auto require = [&](Wire wire) {
    if (wire >= wire_count_ || !known[wire]) throw UsageError("a wire is used before it is set");
  };
  for (const Gate& gate : gates_) {
    require(gate.a);
    if (gate.kind != GateKind::Inv) require(gate.b);
    if (gate.out >= wire_count_ || known[gate.out]) throw UsageError("a wire is set twice");
    known[gate.out] = true;
    depth[gate.out] = depth[gate.a];
    if (gate.kind != GateKind::Inv) depth[gate.out] = std::max(depth[gate.out], depth[gate.b]);
    if (gate.kind == GateKind::And) {
      ++and_count_;
      ++depth[gate.out];
    }
    and_depth_ = std::max<std::size_t>(and_depth_, depth[gate.out]);
  }
  for (const OutputWord& word : outputs_) {
    check_width(word.bits, "an output word");
    const bool shared = word.kind == OutputKind::Shared;
    if (shared ? !word.wires.empty() : word.wires.size() != word.bits || !word.terms.empty()) {
      throw UsageError("an output word has wires or terms that do not fit its kind");
    }
    for (const Wire wire : word.wires) require(wire);
    for (const SharedTerm& term : word.terms) {
      require(term.wire);
      if (term.shift >= word.bits) throw UsageError("a term is shifted out of its output word");
    }
    term_count_ += word.terms.size();
    shared_words_ += shared ? 1 : 0;
    evaluator_out_words_ += word.kind != OutputKind::Garbler ? 1 : 0;
    garbler_out_words_ += word.kind == OutputKind::Garbler || word.kind == OutputKind::Both ? 1 : 0;
  }
}

std::size_t Circuit::count(InputKind kind) const {
  return static_cast<std::size_t>(std::count_if(
      inputs_.begin(), inputs_.end(), [kind](const InputWord& w) { return w.kind == kind; }));
}

std::size_t Circuit::input_bits(InputKind kind) const {
  std::size_t bits = 0;
  for (const InputWord& word : inputs_) bits += word.kind == kind ? word.wires.size() : 0;
  return bits;
}

PlainOutputs evaluate_plain(const Circuit& circuit, std::span<const Word> online,
                            std::span<const Word> fixed, std::span<const Word> evaluator) {
  if (online.size() != circuit.online_words() || fixed.size() != circuit.fixed_words() ||
      evaluator.size() != circuit.evaluator_words()) {
    throw UsageError("the number of input words does not fit the circuit");
  }
  std::vector<std::uint8_t> value(circuit.wire_count(), 0);
  std::size_t next[3] = {0, 0, 0};
  const std::span<const Word> source[3] = {online, fixed, evaluator};
  for (const InputWord& word : circuit.inputs()) {
    const auto kind = static_cast<std::size_t>(word.kind);
    const Word input = source[kind][next[kind]++];
    for (std::size_t i = 0; i < word.wires.size(); ++i) value[word.wires[i]] = (input >> i) & 1U;
  }
  for (const Gate& gate : circuit.gates()) {
    const std::uint8_t a = value[gate.a];
    const std::uint8_t b = value[gate.b];
    value[gate.out] = gate.kind == GateKind::Xor   ? a ^ b
                      : gate.kind == GateKind::And ? a & b
                                                   : a ^ 1U;
  }
  PlainOutputs result;
  std::size_t mask = circuit.fixed_input_words();
  for (const OutputWord& word : circuit.outputs()) {
    Word sum = 0;
    for (std::size_t i = 0; i < word.wires.size(); ++i) sum |= Word{value[word.wires[i]]} << i;
    for (const SharedTerm& term : word.terms) {
      const Word weight = Word{value[term.wire]} << term.shift;
      sum += term.negative ? Word{0} - weight : weight;
    }
    if (word.kind == OutputKind::Shared) sum = low_bits(sum - fixed[mask++], word.bits);
    if (word.kind != OutputKind::Garbler) result.evaluator.push_back(sum);
    if (word.kind == OutputKind::Garbler || word.kind == OutputKind::Both) {
      result.garbler.push_back(sum);
    }
  }
  return result;
}

Circuit lower_shared_outputs(const Circuit& circuit) {
  Builder builder;
  std::vector<Bit> map(circuit.wire_count(), Bit::constant(false));
  std::vector<std::size_t> fixed;
  for (const InputWord& word : circuit.inputs()) {
    const Bits bits =
        word.partner == kNoPartner
            ? builder.input(word.kind, word.wires.size())
            : builder.online_partner(static_cast<std::size_t>(word.partner), word.wires.size());
    for (std::size_t i = 0; i < bits.size(); ++i) map[word.wires[i]] = bits[i];
  }
  std::vector<Bits> masks;
  for (const OutputWord& word : circuit.outputs()) {
    if (word.kind == OutputKind::Shared) {
      masks.push_back(builder.input(InputKind::GarblerFixed, word.bits));
    }
  }
  for (const Gate& gate : circuit.gates()) {
    map[gate.out] = gate.kind == GateKind::Xor   ? builder.xor_(map[gate.a], map[gate.b])
                    : gate.kind == GateKind::And ? builder.and_(map[gate.a], map[gate.b])
                                                 : builder.not_(map[gate.a]);
  }
  std::size_t next_mask = 0;
  for (const OutputWord& word : circuit.outputs()) {
    Bits bits;
    for (const Wire wire : word.wires) bits.push_back(map[wire]);
    if (word.kind != OutputKind::Shared) {
      builder.output(word.kind, bits);
      continue;
    }
    // Every word of this project is a two's complement number: the terms are its bits, and a
    // negative last one is its sign, which fills the bits above it.
    Bits sum(word.bits, Bit::constant(false));
    for (const SharedTerm& term : word.terms) {
      Bits weight(word.bits, Bit::constant(false));
      for (std::size_t i = term.shift; i < word.bits; ++i) {
        if (i == term.shift || term.negative) weight[i] = map[term.wire];
      }
      bool disjoint = true;
      for (std::size_t i = 0; i < word.bits; ++i) {
        disjoint &= sum[i].is(false) || weight[i].is(false);
      }
      if (disjoint) {
        for (std::size_t i = 0; i < word.bits; ++i) sum[i] = builder.xor_(sum[i], weight[i]);
      } else {
        sum = builder.add(sum, weight);
      }
    }
    builder.output(OutputKind::Evaluator, builder.subtract(sum, masks[next_mask++]));
  }
  return builder.finish();
}

}  // namespace capc::gc
