#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "circuit.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// ReLU with a shift by table look-ups, exactly. The holder has x's share a, the chooser b, modulo
// 2^ring_bits. The sign of x is known once the carry into the highest bit is, that is, whether a's
// lower bits exceed the complement of b's: leaves of up to three bits compare, merges of up to four
// nodes join them. The leaves are cut at `shift`, so that the carry of the dropped bits is a node
// of the same tree. For x >= 0, with c this carry and w = msb(a) or msb(b),
//   x >> shift = (a >> shift) + (b >> shift) + c - 2^(ring_bits - shift) w.

/// A table of 2^choice_bits entries that one party fills and the other reads one entry of. It takes
/// choice_bits correlated transfers.
struct Table {
  std::size_t choice_bits = 0;
  std::size_t message_bits = 0;
  bool has_numbers = false;        ///< two numbers, of one choice bit; else bits of a node
  std::size_t index = 0;           ///< among an instance's tables of one direction
  std::size_t first_transfer = 0;  ///< among an instance's transfers of that direction
};

/// What one step computes of one instance: a table that the holder fills. Where a node's shares or
/// numbers at the chooser are factors, a table back that the chooser fills goes with it.
struct Lookup {
  enum class Kind : std::uint8_t {
    Leaf,    ///< compares up to three bits
    Merge,   ///< joins nodes
    Top,     ///< w, as a number modulo 2^shift
    Carry,   ///< c, as a number
    Select,  ///< multiplies by the sign, and shares the result afresh
  };
  Kind kind = Kind::Leaf;
  bool with_equal = false;  ///< the node also tells whether its bits are equal
  Table table;
  Table back;                                ///< of no choice bits where there is none
  std::size_t node = 0;                      ///< where a leaf's or a merge's result goes
  std::size_t first_bit = 0;                 ///< of a leaf
  std::array<std::size_t, 4> children = {};  ///< of a merge, lowest bits first
  std::size_t child_count = 0;
  std::size_t choose_bits = 0;  ///< of an instance in the step's Choose message
  std::size_t table_bits = 0;   ///< and in its Table message
};

constexpr std::size_t kMaxChoiceBits = 3;
constexpr std::size_t kMaxEntries = std::size_t{1} << kMaxChoiceBits;
constexpr std::size_t kNoNode = 64;
constexpr std::size_t kNoTransfer = 64;
constexpr std::size_t kLookupChunk = 1024;  // instances of a Correlate message
constexpr std::size_t kMaxLookupInstances = std::size_t{1} << 16U;  // of a batch

/// Shares of a look-up tree's nodes, one bit each: bit n belongs to node n.
struct NodeBits {
  Word greater = 0;
  Word equal = 0;
};

/// The steps of a ReLU, and the lengths of their messages; the same at both parties.
class ReluPlan {
 public:
  /// UsageError for figures that no ring has.
  ReluPlan(std::size_t ring_bits, std::size_t shift);

  [[nodiscard]] std::size_t ring_bits() const { return ring_bits_; }
  [[nodiscard]] std::size_t shift() const { return shift_; }
  /// Each step is one message each way: leaves, merges level by level, the selection.
  [[nodiscard]] const std::vector<std::vector<Lookup>>& steps() const { return steps_; }
  /// The tables of an instance that the holder fills, and those back, by index.
  [[nodiscard]] const std::vector<Table>& tables() const { return tables_; }
  [[nodiscard]] const std::vector<Table>& tables_back() const { return tables_back_; }
  /// Transfers of an instance, in either direction.
  [[nodiscard]] std::size_t transfers() const { return transfers_; }
  [[nodiscard]] std::size_t back_transfers() const { return back_transfers_; }
  [[nodiscard]] std::size_t carry_node() const { return carry_node_; }
  /// The carry of the dropped bits, kNoNode where none are dropped.
  [[nodiscard]] std::size_t low_node() const { return low_node_; }
  /// The transfer back whose choice is the holder's share of a node's `equal`, or kNoTransfer: the
  /// tables back are read where the holder's shares stand, so it fixes these shares beforehand.
  [[nodiscard]] std::size_t equal_transfer(std::size_t node) const { return equals_[node]; }
  /// The one whose choice is the holder's share of the sign.
  [[nodiscard]] std::size_t sign_transfer() const { return back_transfers_ - 1; }
  /// Names the plan in the headers of its messages.
  [[nodiscard]] std::uint64_t digest() const;

  [[nodiscard]] static std::size_t chunk_count(std::size_t instances);
  [[nodiscard]] static std::size_t chunk_instances(std::size_t instances, std::size_t chunk);
  /// Bytes of the messages, headers included.
  [[nodiscard]] std::size_t correlate_bytes(std::size_t instances, std::size_t chunk) const;
  [[nodiscard]] std::size_t back_bytes(std::size_t instances) const;
  [[nodiscard]] std::size_t choose_bytes(std::size_t instances, std::size_t step) const;
  [[nodiscard]] std::size_t table_bytes(std::size_t instances, std::size_t step) const;
  /// Of all messages of a phase, from the holder and from the chooser; offline without a stock.
  [[nodiscard]] std::pair<std::size_t, std::size_t> offline_bytes(std::size_t instances) const;
  [[nodiscard]] std::pair<std::size_t, std::size_t> online_bytes(std::size_t instances) const;

 private:
  using Nodes = std::vector<std::size_t>;
  [[nodiscard]] Nodes leaves(std::size_t first_bit, std::size_t end_bit, bool lowest);
  /// The nodes joined into `count`, as evenly as it goes.
  [[nodiscard]] Nodes merged(const Nodes& nodes, std::size_t count, bool lowest);
  void add(Lookup lookup);
  void add_number(Lookup::Kind kind, std::size_t message_bits, bool has_back);
  void count_bits();

  std::size_t ring_bits_;
  std::size_t shift_;
  std::vector<std::vector<Lookup>> steps_;
  std::vector<Table> tables_;
  std::vector<Table> tables_back_;
  std::array<std::size_t, kNoNode> equals_ = {};
  std::size_t nodes_ = 0;
  std::size_t transfers_ = 0;
  std::size_t back_transfers_ = 0;
  std::size_t carry_node_ = kNoNode;
  std::size_t low_node_ = kNoNode;
};

[[nodiscard]] constexpr Word bit_at(Word word, std::size_t i) { return (word >> i) & 1U; }
/// All ones where `bit` is 1, else 0.
[[nodiscard]] constexpr Word mask_of(Word bit) { return Word{0} - (bit & 1U); }

}  // namespace capc::gc
