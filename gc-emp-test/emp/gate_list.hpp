#pragma once

#include <emp-sh2pc/emp-sh2pc.h>

#include <span>

#include "circuit.hpp"

namespace capc::gc::programs {

/// Runs the gates in EMP's current execution. `labels` has one for each wire, inputs filled in.
inline void run_gates(const Circuit& circuit, std::span<emp::block> labels) {
  emp::CircuitExecution& execution = *emp::CircuitExecution::circ_exec;
  for (const Gate& gate : circuit.gates()) {
    switch (gate.kind) {
      case GateKind::Xor:
        labels[gate.out] = execution.xor_gate(labels[gate.a], labels[gate.b]);
        break;
      case GateKind::And:
        labels[gate.out] = execution.and_gate(labels[gate.a], labels[gate.b]);
        break;
      case GateKind::Inv:
        labels[gate.out] = execution.not_gate(labels[gate.a]);
        break;
    }
  }
}

}  // namespace capc::gc::programs
