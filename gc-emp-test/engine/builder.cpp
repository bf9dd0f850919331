#include "builder.hpp"

#include <bit>
#include <string>

#include "errors.hpp"

namespace capc::gc {
namespace {

void require_same_width(const Bits& a, const Bits& b) {
  if (a.size() != b.size() || a.empty()) {
    throw UsageError("two words of " + std::to_string(a.size()) + " and " +
                     std::to_string(b.size()) + " bits where equal widths are needed");
  }
}

}  // namespace

Wire Builder::new_input_wire() {
  if (!gates_.empty()) throw UsageError("an input is declared after the first gate");
  inverses_.emplace_back(0, 0);
  return next_wire_++;
}

Bits Builder::input(InputKind kind, std::size_t bits) {
  InputWord word{kind, kNoPartner, {}};
  Bits result;
  for (std::size_t i = 0; i < bits; ++i) {
    word.wires.push_back(new_input_wire());
    result.push_back(Bit::of(word.wires.back()));
  }
  inputs_.push_back(std::move(word));
  evaluator_words_ += kind == InputKind::Evaluator ? 1 : 0;
  return result;
}

SharePair Builder::shared_input(std::size_t bits) {
  SharePair share;
  share.evaluator = input(InputKind::Evaluator, bits);
  share.garbler = online_partner(evaluator_words_ - 1, bits);
  return share;
}

Bits Builder::online_partner(std::size_t evaluator_word, std::size_t bits) {
  Bits result = input(InputKind::GarblerOnline, bits);
  inputs_.back().partner = static_cast<std::int32_t>(evaluator_word);
  return result;
}

Wire Builder::emit(GateKind kind, Wire a, Wire b) {
  gates_.push_back({kind, a, b, next_wire_});
  inverses_.emplace_back(0, 0);
  return next_wire_++;
}

Bit Builder::not_(Bit a) {
  if (a.is_constant()) return Bit::constant(a.is(false));
  if (inverses_[a.wire()].first != 0) return Bit::of(inverses_[a.wire()].second);
  const Wire out = emit(GateKind::Inv, a.wire(), 0);
  inverses_[a.wire()] = {1, out};
  inverses_[out] = {1, a.wire()};
  return Bit::of(out);
}

Bit Builder::xor_(Bit a, Bit b) {
  if (a.is(false)) return b;
  if (b.is(false)) return a;
  if (a.is(true)) return not_(b);
  if (b.is(true)) return not_(a);
  if (a == b) return Bit::constant(false);
  const auto [present, inverse] = inverses_[a.wire()];
  if (present != 0 && inverse == b.wire()) return Bit::constant(true);
  return Bit::of(emit(GateKind::Xor, a.wire(), b.wire()));
}

Bit Builder::and_(Bit a, Bit b) {
  if (a.is(false) || b.is(false)) return Bit::constant(false);
  if (a.is(true)) return b;
  if (b.is(true) || a == b) return a;
  const auto [present, inverse] = inverses_[a.wire()];
  if (present != 0 && inverse == b.wire()) return Bit::constant(false);
  return Bit::of(emit(GateKind::And, a.wire(), b.wire()));
}

Bit Builder::or_(Bit a, Bit b) { return not_(and_(not_(a), not_(b))); }

Bit Builder::mux(Bit choose, Bit one, Bit zero) {
  return xor_(zero, and_(choose, xor_(one, zero)));
}

Bits Builder::mux(Bit choose, const Bits& one, const Bits& zero) {
  require_same_width(one, zero);
  Bits result;
  for (std::size_t i = 0; i < one.size(); ++i) result.push_back(mux(choose, one[i], zero[i]));
  return result;
}

Bits Builder::and_all(Bit bit, const Bits& word) {
  Bits result;
  for (const Bit b : word) result.push_back(and_(bit, b));
  return result;
}

Bits Builder::add(const Bits& a, const Bits& b) {
  require_same_width(a, b);
  Bits sum;
  Bit carry = Bit::constant(false);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Bit a_carry = xor_(a[i], carry);
    sum.push_back(xor_(a_carry, b[i]));
    if (i + 1 < a.size()) carry = xor_(carry, and_(a_carry, xor_(b[i], carry)));
  }
  return sum;
}

Bits Builder::subtract(const Bits& a, const Bits& b) {
  require_same_width(a, b);
  Bits difference;
  Bit borrow = Bit::constant(false);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Bit b_borrow = xor_(b[i], borrow);
    difference.push_back(xor_(a[i], b_borrow));
    if (i + 1 < a.size()) borrow = xor_(borrow, and_(xor_(a[i], b[i]), b_borrow));
  }
  return difference;
}

Bit Builder::less_unsigned(const Bits& a, const Bits& b) {
  require_same_width(a, b);
  Bit borrow = Bit::constant(false);
  for (std::size_t i = 0; i < a.size(); ++i) {
    borrow = xor_(borrow, and_(xor_(a[i], b[i]), xor_(b[i], borrow)));
  }
  return borrow;
}

Bit Builder::less_signed(const Bits& a, const Bits& b) {
  require_same_width(a, b);
  Bits left = a;
  Bits right = b;
  left.back() = not_(left.back());
  right.back() = not_(right.back());
  return less_unsigned(left, right);
}

Wire Builder::materialise(Bit bit) {
  if (!bit.is_constant()) return bit.wire();
  if (next_wire_ == 0) throw UsageError("a circuit needs at least one input");
  const Wire zero = emit(GateKind::Xor, 0, 0);
  return bit.is(true) ? emit(GateKind::Inv, zero, 0) : zero;
}

void Builder::output(OutputKind kind, const Bits& word) {
  if (kind == OutputKind::Shared) throw UsageError("output_shared makes a Shared output");
  OutputWord out{kind, static_cast<std::uint8_t>(word.size()), {}, {}};
  for (const Bit bit : word) out.wires.push_back(materialise(bit));
  outputs_.push_back(std::move(out));
}

void Builder::output_shared(const Bits& word, std::size_t bits, bool is_signed) {
  OutputWord out{OutputKind::Shared, static_cast<std::uint8_t>(bits), {}, {}};
  for (std::size_t i = 0; i < word.size() && i < bits; ++i) {
    if (word[i].is(false)) continue;
    const bool negative = is_signed && i + 1 == word.size();
    out.terms.push_back({materialise(word[i]), static_cast<std::uint8_t>(i), negative});
  }
  outputs_.push_back(std::move(out));
}

Circuit Builder::finish() {
  drop_unused_gates();
  return Circuit(std::move(inputs_), std::move(gates_), std::move(outputs_));
}

void Builder::drop_unused_gates() {
  std::vector<bool> used(next_wire_, false);
  for (const OutputWord& word : outputs_) {
    for (const Wire wire : word.wires) used[wire] = true;
    for (const SharedTerm& term : word.terms) used[term.wire] = true;
  }
  for (std::size_t i = gates_.size(); i-- > 0;) {
    const Gate& gate = gates_[i];
    if (!used[gate.out]) continue;
    used[gate.a] = true;
    if (gate.kind != GateKind::Inv) used[gate.b] = true;
  }
  const Wire first = next_wire_ - static_cast<Wire>(gates_.size());
  std::vector<Wire> renamed(next_wire_);
  for (Wire wire = 0; wire < first; ++wire) renamed[wire] = wire;
  std::vector<Gate> kept;
  for (const Gate& gate : gates_) {
    if (!used[gate.out]) continue;
    renamed[gate.out] = first + static_cast<Wire>(kept.size());
    const Wire b = gate.kind == GateKind::Inv ? 0 : renamed[gate.b];
    kept.push_back({gate.kind, renamed[gate.a], b, renamed[gate.out]});
  }
  for (OutputWord& word : outputs_) {
    for (Wire& wire : word.wires) wire = renamed[wire];
    for (SharedTerm& term : word.terms) term.wire = renamed[term.wire];
  }
  gates_ = std::move(kept);
}

namespace {

/// A match of the tournament: the right side won, and the winning word.
struct Match {
  Bit right_won = Bit::constant(false);
  Bits winner;
  std::size_t left_size = 0;
  std::vector<Match> sides;
};

Match play(Builder& builder, std::span<const Bits> words, bool need_winner) {
  if (words.size() == 1) return {Bit::constant(false), words[0], 0, {}};
  Match match;
  match.left_size = std::bit_floor(words.size() - 1);
  match.sides.push_back(play(builder, words.first(match.left_size), true));
  match.sides.push_back(play(builder, words.subspan(match.left_size), true));
  const Bits& left = match.sides[0].winner;
  const Bits& right = match.sides[1].winner;
  match.right_won = builder.less_signed(left, right);
  if (need_winner) match.winner = builder.mux(match.right_won, right, left);
  return match;
}

void mark(Builder& builder, const Match& match, Bit active, Bits& one_hot) {
  if (match.sides.empty()) {
    one_hot.push_back(active);
    return;
  }
  const Bit right = builder.and_(active, match.right_won);
  mark(builder, match.sides[0], builder.xor_(active, right), one_hot);
  mark(builder, match.sides[1], right, one_hot);
}

}  // namespace

Bits argmax_one_hot(Builder& builder, const std::vector<Bits>& words, Bit active) {
  if (words.empty()) throw UsageError("the argmax of no words");
  Bits one_hot;
  mark(builder, play(builder, words, false), active, one_hot);
  return one_hot;
}

}  // namespace capc::gc
