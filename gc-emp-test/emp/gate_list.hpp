#pragma once

#include <span>

#include "circuit.hpp"
#include "emp_line.hpp"

namespace capc::gc::programs {

/// Runs the gates in EMP's current execution. `labels` has one for each wire, inputs filled in.
inline void run_gates(const Circuit& circuit, std::span<emp::block> labels) {
  for (const Gate& gate : circuit.gates()) {
    switch (gate.kind) {
      case GateKind::Xor:
        labels[gate.out] = emp_xor(labels[gate.a], labels[gate.b]);
        break;
      case GateKind::And:
        labels[gate.out] = emp_and(labels[gate.a], labels[gate.b]);
        break;
      case GateKind::Inv:
        labels[gate.out] = emp_not(labels[gate.a]);
        break;
    }
  }
}

}  // namespace capc::gc::programs
