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
// 2^ringbits. The sign of x is known once the carry into the highest bit is, that is, whether a's
// lower bits exceed the complement of b's: leaves of up to four bits compare, merges of up to three
// nodes join them. The leaves are cut at `shift`, so that the carry of the dropped bits is a node
// of the same tree. For x >= 0, with c this carry and w = msb(a) or msb(b),
//   x >> shift = (a >> shift) + (b >> shift) + c - 2^(ring_bits - shift) w.

/// One look-up: the holder fills a table of 2^choice_bits entries, the chooser reads one of them.
struct Lookup {
  enum class Kind : std::uint8_t {
    Leaf,    ///< compares up to four bits
    Merge,   ///< joins nodes
    Select,  ///< multiplies by the sign, and shares the result afresh
  };
  Kind kind = Kind::Leaf;
  bool with_equal = false;  ///< the node also tells whether its bits are equal
  std::size_t choice_bits = 0;
  std::size_t message_bits = 0;
  std::size_t node = 0;                      ///< where a leaf's or a merge's result goes
  std::size_t first_bit = 0;                 ///< of a leaf
  std::array<std::size_t, 3> children = {};  ///< of a merge, lowest bits first
  std::size_t child_count = 0;
  std::size_t index = 0;  ///< among all look-ups of an instance
};

constexpr std::size_t kMaxChoiceBits = 5;
constexpr std::size_t kMaxEntries = std::size_t{1} << kMaxChoiceBits;
constexpr std::size_t kNoNode = 64;
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
  [[nodiscard]] std::size_t lookups() const { return lookups_; }
  /// Transfers of an instance from the holder; there is one more in the other direction.
  [[nodiscard]] std::size_t transfers() const { return transfers_; }
  [[nodiscard]] std::size_t carry_node() const { return carry_node_; }
  /// The carry of the dropped bits, kNoNode where none are dropped.
  [[nodiscard]] std::size_t low_node() const { return low_node_; }
  /// Names the plan in the headers of its messages.
  [[nodiscard]] std::uint64_t digest() const;

  [[nodiscard]] static std::size_t chunk_count(std::size_t instances);
  [[nodiscard]] static std::size_t chunk_instances(std::size_t instances, std::size_t chunk);
  /// Bytes of the messages, headers included.
  [[nodiscard]] std::size_t correlate_bytes(std::size_t instances, std::size_t chunk) const;
  [[nodiscard]] std::size_t back_bytes(std::size_t instances) const;
  [[nodiscard]] std::size_t choose_bytes(std::size_t instances, std::size_t step) const;
  [[nodiscard]] std::size_t table_bytes(std::size_t instances, std::size_t step) const;
  /// Of all messages of a phase, from the holder and from the chooser.
  [[nodiscard]] std::pair<std::size_t, std::size_t> offline_bytes(std::size_t instances) const;
  [[nodiscard]] std::pair<std::size_t, std::size_t> online_bytes(std::size_t instances) const;

 private:
  using Nodes = std::vector<std::size_t>;
  [[nodiscard]] Nodes leaves(std::size_t first_bit, std::size_t end_bit, bool lowest);
  [[nodiscard]] Nodes merged(const Nodes& nodes, bool lowest);
  void add(Lookup lookup);

  std::size_t ring_bits_;
  std::size_t shift_;
  std::vector<std::vector<Lookup>> steps_;
  std::size_t nodes_ = 0;
  std::size_t lookups_ = 0;
  std::size_t transfers_ = 0;
  std::size_t carry_node_ = kNoNode;
  std::size_t low_node_ = kNoNode;
};

[[nodiscard]] constexpr Word bit_at(Word word, std::size_t i) { return (word >> i) & 1U; }
/// All ones where `bit` is 1, else 0.
[[nodiscard]] constexpr Word mask_of(Word bit) { return Word{0} - (bit & 1U); }
/// 1 where x is 0, without a branch.
[[nodiscard]] constexpr Word is_zero(Word x) { return (~x & (x - 1)) >> 63U; }

/// A party's bits of what a merge joins: first the highest node's `equal`, then of each node below
/// `greater` and, where the result needs it, `equal`. The holder's bits ^ the chooser's are the
/// argument of merge_value.
[[nodiscard]] Word merge_bits(const Lookup& merge, const NodeBits& nodes);
/// Bit 0: what is to be added to the highest node's `greater`. Bit 1: `equal`.
[[nodiscard]] Word merge_value(const Lookup& merge, Word bits);

}  // namespace capc::gc
