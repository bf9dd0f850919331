#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "circuit.hpp"
#include "frames.hpp"
#include "link.hpp"
#include "task.hpp"

namespace capc::gc::programs {

/// One party of a session of two-party computation. A program is linked with one implementation:
/// the engine's own, or EMP's.
class BackEnd {
 public:
  BackEnd() = default;
  BackEnd(const BackEnd&) = delete;
  BackEnd& operator=(const BackEnd&) = delete;
  virtual ~BackEnd() = default;

  /// Base transfers and keys; once, before anything else.
  virtual void set_up() = 0;
  /// Offline: everything of a batch that needs no shares. `fixed`: fixed_words an instance for the
  /// garbler, nothing for the evaluator.
  virtual void prepare(std::size_t instances, std::span<const Word> fixed) = 0;
  /// Online: the batch that was prepared first and not evaluated yet. What this party learns.
  [[nodiscard]] virtual WordTable evaluate(const WordTable& shares) = 0;
  /// Both at once, for when there is no time in between.
  [[nodiscard]] virtual WordTable run(const WordTable& shares, std::span<const Word> fixed) = 0;
};

/// "builtin" or "emp": who computes in this program, at most eight characters.
[[nodiscard]] std::string back_end_name();

[[nodiscard]] std::unique_ptr<BackEnd> make_back_end(Party party, Circuit circuit, Link& link);

/// UsageError unless `fixed` and `shares` have the circuit's words for this party.
void require_fixed_words(Party party, const Circuit& circuit, std::size_t instances,
                         std::size_t fixed_words);
void require_share_words(Party party, const Circuit& circuit, const WordTable& shares);

[[nodiscard]] std::size_t out_words(Party party, const Circuit& circuit);

}  // namespace capc::gc::programs
