#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "circuit.hpp"

namespace capc::gc {

/// A bit while a circuit is built: a wire, or a constant that costs no gate.
class Bit {
 public:
  [[nodiscard]] static Bit constant(bool value) { return Bit{value ? kOne : kZero}; }
  [[nodiscard]] static Bit of(Wire wire) { return Bit{wire}; }
  [[nodiscard]] bool is_constant() const { return id_ >= kZero; }
  [[nodiscard]] bool is(bool value) const { return id_ == (value ? kOne : kZero); }
  [[nodiscard]] Wire wire() const { return id_; }
  friend bool operator==(Bit, Bit) = default;

 private:
  explicit Bit(Wire id) : id_(id) {}
  static constexpr Wire kZero = 0xFFFFFFFE;
  static constexpr Wire kOne = 0xFFFFFFFF;
  Wire id_;
};

using Bits = std::vector<Bit>;  // least significant first

/// An additively shared word: the garbler's part and the evaluator's.
struct SharePair {
  Bits garbler;
  Bits evaluator;
};

/// Builds a Circuit gate by gate, folding constants. Every input before the first gate.
class Builder {
 public:
  [[nodiscard]] Bits input(InputKind kind, std::size_t bits);
  /// A word shared modulo 2^bits; use it only through `reconstruct`.
  [[nodiscard]] SharePair shared_input(std::size_t bits);
  /// Another word of the garbler that is added to an evaluator word declared before.
  [[nodiscard]] Bits online_partner(std::size_t evaluator_word, std::size_t bits);

  [[nodiscard]] Bit xor_(Bit a, Bit b);
  [[nodiscard]] Bit and_(Bit a, Bit b);
  [[nodiscard]] Bit or_(Bit a, Bit b);
  [[nodiscard]] Bit not_(Bit a);
  /// `one` where `choose` is 1, else `zero`: one AND gate a bit.
  [[nodiscard]] Bit mux(Bit choose, Bit one, Bit zero);
  [[nodiscard]] Bits mux(Bit choose, const Bits& one, const Bits& zero);
  [[nodiscard]] Bits and_all(Bit bit, const Bits& word);

  /// a + b mod 2^width: width - 1 AND gates.
  [[nodiscard]] Bits add(const Bits& a, const Bits& b);
  /// a - b mod 2^width: width - 1 AND gates.
  [[nodiscard]] Bits subtract(const Bits& a, const Bits& b);
  [[nodiscard]] Bits reconstruct(const SharePair& share) {
    return add(share.garbler, share.evaluator);
  }
  /// a < b as unsigned or as two's complement numbers: width AND gates.
  [[nodiscard]] Bit less_unsigned(const Bits& a, const Bits& b);
  [[nodiscard]] Bit less_signed(const Bits& a, const Bits& b);

  void output(OutputKind kind, const Bits& word);
  /// sum of 2^i word[i], the last bit negative where `is_signed`, minus a mask, modulo 2^bits.
  void output_shared(const Bits& word, std::size_t bits, bool is_signed);

  /// The circuit, without the gates that no output depends on.
  [[nodiscard]] Circuit finish();

 private:
  [[nodiscard]] Wire materialise(Bit bit);
  [[nodiscard]] Wire emit(GateKind kind, Wire a, Wire b);
  [[nodiscard]] Wire new_input_wire();
  void drop_unused_gates();

  std::vector<InputWord> inputs_;
  std::vector<Gate> gates_;
  std::vector<OutputWord> outputs_;
  std::vector<std::pair<Wire, Wire>> inverses_;  // by wire: (present, inverse)
  std::size_t evaluator_words_ = 0;
  Wire next_wire_ = 0;
};

/// One-hot of the greatest of signed words, ties to the lowest index, all zero unless `active`.
/// For n words of w bits: (n - 1) w gates to compare, (n - 2) w to pass winners on, n - 2 for the
/// result, and one more unless `active` is constant.
[[nodiscard]] Bits argmax_one_hot(Builder& builder, const std::vector<Bits>& words, Bit active);

}  // namespace capc::gc
