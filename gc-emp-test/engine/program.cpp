#include "program.hpp"

#include <limits>

namespace capc::gc {
namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

/// A wire as another wire's value, inverted or not.
struct Alias {
  Wire root;
  bool invert;
};

}  // namespace

Program::Program(const Circuit& circuit) {
  const std::vector<Gate>& gates = circuit.gates();
  std::vector<Alias> alias(circuit.wire_count());
  std::size_t input_wires = 0;
  for (const InputWord& word : circuit.inputs()) input_wires += word.wires.size();
  for (Wire wire = 0; wire < input_wires; ++wire) alias[wire] = {wire, false};
  for (const Gate& gate : gates) {
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
  for (std::size_t i = 0; i < gates.size(); ++i) {
    if (gates[i].kind == GateKind::Inv) continue;
    last_use[alias[gates[i].a].root] = i;
    last_use[alias[gates[i].b].root] = i;
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
  for (std::size_t i = 0; i < gates.size(); ++i) {
    const Gate& gate = gates[i];
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
                    is_and && b.invert});
  }
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
