#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace capc::gc {

using Wire = std::uint32_t;
using Word = std::uint64_t;

enum class GateKind : std::uint8_t { Xor, And, Inv };

/// out = a XOR b, a AND b, or NOT a (`b` is then unused and 0).
struct Gate {
  GateKind kind;
  Wire a;
  Wire b;
  Wire out;
};

/// Who feeds a word and when it is known.
enum class InputKind : std::uint8_t {
  GarblerOnline,  ///< the garbler's, known with the query
  GarblerFixed,   ///< the garbler's, known when it garbles
  Evaluator,      ///< the evaluator's
};

constexpr std::int32_t kNoPartner = -1;

/// An input word of `wires.size()` bits, least significant first.
///
/// A GarblerOnline word with a `partner` (the index among the evaluator's words) enters the circuit
/// only in the sum of both modulo 2^bits. Then a difference moves from one to the other without
/// changing any output, which is what lets the oblivious transfer run before the query is known.
struct InputWord {
  InputKind kind;
  std::int32_t partner;
  std::vector<Wire> wires;
};

/// Who learns a word.
enum class OutputKind : std::uint8_t {
  Evaluator,
  Garbler,
  Both,
  Shared,  ///< the evaluator learns value - mask mod 2^bits; the garbler chose the mask
};

/// `wire` counts 2^shift, or -2^shift where `negative`.
struct SharedTerm {
  Wire wire;
  std::uint8_t shift;
  bool negative;
};

/// An output word: `wires` least significant first, or, for a Shared one, the sum of `terms`.
struct OutputWord {
  OutputKind kind;
  std::uint8_t bits;
  std::vector<Wire> wires;
  std::vector<SharedTerm> terms;
};

/// A circuit as data: gates in topological order over wires numbered from 0.
///
/// Input wires come first, in the order of the input words. The garbler's fixed words are the
/// GarblerFixed inputs followed by one mask for each Shared output.
class Circuit {
 public:
  /// Throws UsageError where a wire is used before it is set, set twice, or a width is not 1..64.
  Circuit(std::vector<InputWord> inputs, std::vector<Gate> gates, std::vector<OutputWord> outputs);

  [[nodiscard]] const std::vector<InputWord>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<Gate>& gates() const { return gates_; }
  [[nodiscard]] const std::vector<OutputWord>& outputs() const { return outputs_; }

  [[nodiscard]] std::size_t wire_count() const { return wire_count_; }
  [[nodiscard]] std::size_t and_count() const { return and_count_; }
  /// Terms of all Shared outputs: each costs two hashes and up to eight bytes, but no AND gate.
  [[nodiscard]] std::size_t term_count() const { return term_count_; }
  /// AND gates on the longest path.
  [[nodiscard]] std::size_t and_depth() const { return and_depth_; }
  /// SHA-256 of the circuit's encoding, first eight bytes: both parties must run the same one.
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

  /// Words of one kind, in the order of the declaration. `online` are GarblerOnline words.
  [[nodiscard]] std::size_t online_words() const { return count(InputKind::GarblerOnline); }
  [[nodiscard]] std::size_t fixed_input_words() const { return count(InputKind::GarblerFixed); }
  [[nodiscard]] std::size_t fixed_words() const { return fixed_input_words() + shared_words_; }
  [[nodiscard]] std::size_t evaluator_words() const { return count(InputKind::Evaluator); }
  [[nodiscard]] std::size_t evaluator_out_words() const { return evaluator_out_words_; }
  [[nodiscard]] std::size_t garbler_out_words() const { return garbler_out_words_; }
  [[nodiscard]] std::size_t input_bits(InputKind kind) const;

  /// True where every online word and every evaluator word belongs to a shared one: then the
  /// circuit can be garbled before the query.
  [[nodiscard]] bool has_offline_phase() const { return has_offline_phase_; }

 private:
  [[nodiscard]] std::size_t count(InputKind kind) const;
  void check_and_measure();

  std::vector<InputWord> inputs_;
  std::vector<Gate> gates_;
  std::vector<OutputWord> outputs_;
  std::size_t wire_count_ = 0;
  std::size_t and_count_ = 0;
  std::size_t term_count_ = 0;
  std::size_t and_depth_ = 0;
  std::size_t shared_words_ = 0;
  std::size_t evaluator_out_words_ = 0;
  std::size_t garbler_out_words_ = 0;
  std::uint64_t digest_ = 0;
  bool has_offline_phase_ = false;
};

struct PlainOutputs {
  std::vector<Word> evaluator;
  std::vector<Word> garbler;
};

/// What the two parties learn, computed in the clear: the reference for every back end.
[[nodiscard]] PlainOutputs evaluate_plain(const Circuit& circuit, std::span<const Word> online,
                                          std::span<const Word> fixed,
                                          std::span<const Word> evaluator);

/// The same function with XOR, AND and INV gates only: each Shared output becomes an Evaluator one
/// and its mask a GarblerFixed input, subtracted by gates. For back ends that know no Shared
/// output.
[[nodiscard]] Circuit lower_shared_outputs(const Circuit& circuit);

[[nodiscard]] constexpr Word low_bits(Word value, std::size_t bits) {
  return bits >= 64 ? value : value & ((Word{1} << bits) - 1);
}

}  // namespace capc::gc
