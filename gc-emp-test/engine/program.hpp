#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "circuit.hpp"

namespace capc::gc {

/// One step over a row of labels: slot[out] = slot[a] XOR slot[b], or an AND gate.
/// The garbler flips an input's meaning where `invert_*`: NOT costs nothing.
struct Op {
  std::uint32_t out;
  std::uint32_t a;
  std::uint32_t b;
  bool is_and;
  bool invert_a;
  bool invert_b;
  /// AND gates from here on that need nothing of each other, at most kAbreast.
  std::uint8_t abreast = 1;
  /// Which of the circuit's AND gates it is: its place in the tables, and its tweaks.
  std::uint32_t gate = 0;
};
constexpr std::size_t kAbreast = 8;

/// The order of a program's steps. What is sent does not depend on it.
enum class Order : std::uint8_t {
  Built,     ///< the circuit's own: few slots, for many instances side by side
  ByLevels,  ///< gates that need nothing of each other stand together: for one instance
};

struct SlotRef {
  std::uint32_t slot;
  bool invert;
};

/// A circuit with its wires packed into few slots, so that the labels of a block of instances stay
/// in the cache, and with its inverters folded away.
class Program {
 public:
  explicit Program(const Circuit& circuit, Order order = Order::Built);

  [[nodiscard]] const std::vector<Op>& ops() const { return ops_; }
  [[nodiscard]] std::size_t slot_count() const { return slot_count_; }
  /// By input wire.
  [[nodiscard]] const std::vector<std::uint32_t>& input_slots() const { return input_slots_; }
  /// By output word: one per wire, or per term of a Shared word.
  [[nodiscard]] const std::vector<std::vector<SlotRef>>& outputs() const { return outputs_; }

 private:
  std::vector<Op> ops_;
  std::vector<std::uint32_t> input_slots_;
  std::vector<std::vector<SlotRef>> outputs_;
  std::size_t slot_count_ = 0;
};

}  // namespace capc::gc
