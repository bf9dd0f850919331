#include "program.hpp"

#include <algorithm>
#include <limits>

namespace capc::gc {
namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

/// A wire as another wire's value, inverted or not.
struct Alias {
  Wire root;
  bool invert;
};

/// The gate, which AND gate it is, and how many ANDs lie on the longest way to it.
struct Step {
  Gate gate;
  std::uint32_t number;
  std::size_t level;
};

[[nodiscard]] std::vector<Step> steps_of(const Circuit& circuit, Order order) {
  std::vector<Step> steps;
  std::vector<std::size_t> level(circuit.wire_count(), 0);
  std::uint32_t ands = 0;
  for (const Gate& gate : circuit.gates()) {
    const bool is_and = gate.kind == GateKind::And;
    const std::size_t before =
        gate.kind == GateKind::Inv ? level[gate.a] : std::max(level[gate.a], level[gate.b]);
    level[gate.out] = before + (is_and ? 1 : 0);
    steps.push_back({gate, is_and ? ands++ : 0, level[gate.out]});
  }
  if (order == Order::ByLevels) {
    // An AND needs lower levels only; any other gate also what stands before it in its own.
    const auto place = [](const Step& step) {
      return 2 * step.level + (step.gate.kind == GateKind::And ? 0 : 1);
    };
    std::stable_sort(steps.begin(), steps.end(),
                     [&](const Step& x, const Step& y) { return place(x) < place(y); });
  }
  return steps;
}

/// Groups of up to kAbreast ANDs of one level that stand together.
void group(std::vector<Op>& ops, const std::vector<std::size_t>& levels) {
  std::size_t first = 0;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const std::size_t size = i - first;
    const bool joins = size > 0 && size < kAbreast && ops[first].is_and && ops[i].is_and &&
                       levels[i] == levels[first];
    if (!joins) first = i;
    ops[first].abreast = static_cast<std::uint8_t>(i - first + 1);
  }
}

}  // namespace

Program::Program(const Circuit& circuit, Order order) {
  const std::vector<Step> steps = steps_of(circuit, order);
  std::vector<Alias> alias(circuit.wire_count());
  std::size_t input_wires = 0;
  for (const InputWord& word : circuit.inputs()) input_wires += word.wires.size();
  for (Wire wire = 0; wire < input_wires; ++wire) alias[wire] = {wire, false};
  for (const Step& step : steps) {
    const Gate& gate = step.gate;
    const bool flip = gate.kind == GateKind::Inv;
    if (flip) {
      alias[gate.out] = {alias[gate.a].root, !alias[gate.a].invert};
    } else {
      const bool invert =
          gate.kind == GateKind::Xor && alias[gate.a].invert != alias[gate.b].invert;
      alias[gate.out] = {gate.out, invert};
    }
  }

  std::vector<std::size_t> last_use(circuit.wire_count(), 0);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Gate& gate = steps[i].gate;
    if (gate.kind == GateKind::Inv) continue;
    last_use[alias[gate.a].root] = i;
    last_use[alias[gate.b].root] = i;
  }
  for (const OutputWord& word : circuit.outputs()) {
    for (const Wire wire : word.wires) last_use[alias[wire].root] = kNever;
    for (const SharedTerm& term : word.terms) last_use[alias[term.wire].root] = kNever;
  }

  std::vector<std::uint32_t> slot(circuit.wire_count(), 0);
  std::vector<std::uint32_t> free_slots;
  for (Wire wire = 0; wire < input_wires; ++wire) {
    slot[wire] = static_cast<std::uint32_t>(slot_count_++);
    input_slots_.push_back(slot[wire]);
  }
  std::vector<std::size_t> levels;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Gate& gate = steps[i].gate;
    if (gate.kind == GateKind::Inv) continue;
    const Alias a = alias[gate.a];
    const Alias b = alias[gate.b];
    // A slot that dies here may become this gate's output: each label is read before it is written.
    if (last_use[a.root] == i) free_slots.push_back(slot[a.root]);
    if (last_use[b.root] == i && b.root != a.root) free_slots.push_back(slot[b.root]);
    if (free_slots.empty()) {
      slot[gate.out] = static_cast<std::uint32_t>(slot_count_++);
    } else {
      slot[gate.out] = free_slots.back();
      free_slots.pop_back();
    }
    const bool is_and = gate.kind == GateKind::And;
    ops_.push_back({slot[gate.out], slot[a.root], slot[b.root], is_and, is_and && a.invert,
                    is_and && b.invert, 1, steps[i].number});
    levels.push_back(steps[i].level);
  }
  if (order == Order::ByLevels) group(ops_, levels);
  for (const OutputWord& word : circuit.outputs()) {
    std::vector<SlotRef> refs;
    const auto add = [&](Wire wire) {
      refs.push_back({slot[alias[wire].root], alias[wire].invert});
    };
    for (const Wire wire : word.wires) add(wire);
    for (const SharedTerm& term : word.terms) add(term.wire);
    outputs_.push_back(std::move(refs));
  }
}

}  // namespace capc::gc
