#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "circuit.hpp"
#include "link.hpp"

namespace capc::gc::programs {

enum class ProgramKind : std::uint8_t { Argmax = 1, SumHistogram = 2 };
enum class Party : std::uint8_t { Garbler = 1, Evaluator = 2 };
enum class Mode : std::uint8_t { Files = 1, Session = 2 };

/// What the two programs of a pair compute together. `ring_bits` and `vote_shift` count for Argmax
/// alone, `with_threshold` for SumHistogram alone.
struct Task {
  ProgramKind kind = ProgramKind::Argmax;
  std::size_t ring_bits = 64;
  std::size_t classes = 0;
  std::size_t vote_bits = 32;
  bool with_threshold = false;
  std::size_t vote_shift = 0;
};

/// argmax_circuit or noisy_argmax_circuit; UsageError where a number is out of range.
[[nodiscard]] Circuit build_circuit(const Task& task);

/// Tell the peer what we run and check that it runs the same; ProtocolError says what differs.
void agree(Link& link, Party party, Mode mode, const Task& task, const Circuit& circuit,
           const std::string& back_end);

}  // namespace capc::gc::programs
