#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "circuit.hpp"
#include "seed_trees.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// A function of a number, or of a few, by table look-ups. Of each number the holder has a share a,
// the chooser b, modulo 2^ring_bits; both follow the same plan. A plan is a list of steps, and a
// step a list of look-ups that travel together, one message each way. There are a few kinds of
// look-ups: comparisons, joined in trees; bits that become numbers and are added up; and a
// selection. What they compute together is up to the function that builds the plan (relu_plan.hpp).

/// A table of 2^choice_bits entries that one party fills and the other reads one entry of. It takes
/// choice_bits correlated transfers.
struct Table {
  std::size_t choice_bits = 0;
  std::size_t message_bits = 0;    ///< of an entry
  bool has_numbers = false;        ///< an entry is a number; else bits of nodes
  std::size_t index = 0;           ///< among an instance's tables of one direction
  std::size_t first_transfer = 0;  ///< among an instance's transfers of that direction

  [[nodiscard]] constexpr std::size_t entries() const { return std::size_t{1} << choice_bits; }
};

constexpr std::size_t kMaxChoiceBits = 4;
constexpr std::size_t kMaxEntries = std::size_t{1} << kMaxChoiceBits;
constexpr std::size_t kMaxNumberChoiceBits = 2;
constexpr std::size_t kMaxNumberEntries = std::size_t{1} << kMaxNumberChoiceBits;
constexpr std::size_t kMaxResults = 2;                 // nodes of one table
constexpr std::size_t kMaxNodeBits = 2 * kMaxResults;  // of an entry
constexpr std::size_t kMaxChildren = 5;                // of a merge
constexpr std::size_t kNoInput = ~std::size_t{0};
constexpr std::size_t kNoValue = ~std::size_t{0};
constexpr std::size_t kNoNode = 128;
constexpr std::size_t kNoTransfer = 64;
constexpr std::size_t kLookupChunk = 1024;  // instances of a Correlate message
constexpr std::size_t kMaxLookupInstances = std::size_t{1} << 16U;  // of a batch

/// A number whose parts the parties compare: an input, or the difference of two.
struct Compared {
  std::size_t input = 0;
  std::size_t less = kNoInput;  ///< the input that is taken off
  Word taken_off = 0;           ///< by the holder besides

  friend bool operator==(const Compared&, const Compared&) = default;
};

/// A node of a tree of comparisons: whether the holder's bits are greater than the complement of
/// the chooser's, that is, whether the sum of both has a carry. Or a bit of a final.
struct NodeResult {
  std::size_t node = kNoNode;
  Compared number;
  /// The transfers back whose choices are the holder's shares of `equal`, and of the bit that the
  /// node gives; kNoTransfer where they are no choice. A table back is read where the holder's
  /// shares stand, so that it fixes these shares beforehand.
  std::size_t equal_transfer = kNoTransfer;
  std::size_t bit_transfer = kNoTransfer;
  bool is_sign = false;  ///< that bit is Positive, not Carry
};

/// A bit that both parties have a part of.
struct SharedBit {
  enum class Kind : std::uint8_t {
    EitherTop,  ///< the highest bit of one part of the number or of the other
    Carry,      ///< what the node says
    Positive,   ///< of the highest bits and the node, a carry into them: no sign is left
  };
  Kind kind = Kind::EitherTop;
  std::size_t node = kNoNode;
  Compared number;  ///< the node's
};

/// What a selection gives: one of the values or 0, and a constant more.
struct Selected {
  std::size_t value = kNoValue;
  Word constant = 0;
};

/// What one step computes of one instance: a table that the holder fills. Where the chooser's
/// shares or numbers are factors, a table back that the chooser fills goes with it.
struct Lookup {
  enum class Kind : std::uint8_t {
    Leaf,     ///< compares up to four bits
    Merge,    ///< joins nodes
    Final,    ///< tells the greatest of up to four numbers from the winners of two pairs
    Number,   ///< adds a multiple of a shared bit to a value
    Product,  ///< adds a multiple of the holder's share where a bit of the chooser's is set
    Select,   ///< what `selected` has where its bits stand, the first as bit 0
  };
  Kind kind = Kind::Leaf;
  Table table;
  Table back;  ///< of no choice bits where there is none
  // Of leaves, merges and finals.
  bool with_equal = false;  ///< the nodes also tell whether their bits are equal
  std::size_t result_count = 0;
  std::array<NodeResult, kMaxResults> results = {};     ///< two: the same chooser's bits twice
  std::size_t first_bit = 0;                            ///< of a leaf, and the bit of a product
  bool is_sloped = false;                               ///< a leaf of shares times `slope`
  std::array<std::size_t, kMaxChildren> children = {};  ///< of a merge, lowest bits first
  std::size_t child_count = 0;
  std::array<SharedBit, 4> finals = {};  ///< of a final, by its bits
  // Of finals, numbers and selections.
  std::array<SharedBit, kMaxNumberChoiceBits> bits = {};
  std::size_t value = 0;  ///< that a number is added to
  Word scale = 1;         ///< of a number, in units of 2^unit
  std::size_t unit = 0;   ///< of a number
  Word in_value = 1;      ///< how often a party's part of the number counts in the value
  Word in_rest = 0;       ///< and in the rest
  std::array<Selected, kMaxNumberEntries> selected = {};
  bool is_output = false;  ///< it makes the holder's part what it is to be: its mask
  // Bits of an instance in the step's Choose and in its Table message.
  std::size_t choose_bits = 0;
  std::size_t table_bits = 0;

  [[nodiscard]] bool is_node() const { return result_count > 0; }
  [[nodiscard]] bool has_back() const { return back.choice_bits > 0; }
  /// Where the bits of a node's result stand in an entry: `greater`, and behind it `equal`.
  [[nodiscard]] std::size_t plane_of(std::size_t result) const {
    return result * (with_equal ? 2 : 1);
  }
};

/// What the parties add to shares on their own, besides the look-ups.
struct LocalPart {
  Word added = 0;         ///< by the holder to its shares, before all else
  bool has_value = true;  ///< each input's value begins as the share >> shift; else as 0
  std::size_t shift = 0;
  Word taken_off = 0;       ///< by the holder, of the value that it begins with
  bool is_squared = false;  ///< the value begins as the share's square
  // Where there is a slope, the output is the selected value plus a rest, which begins as
  // (slope * share) >> (shift + slope_bits) of the signed share, and is taken off the value.
  Word slope = 0;
  std::size_t slope_bits = 0;
  Word rest_taken_off = 0;  ///< by the holder
};

/// The steps of a function, and the lengths of their messages; the same at both parties.
class LookupPlan {
 public:
  [[nodiscard]] std::size_t ring_bits() const { return ring_bits_; }
  /// Numbers of an instance. Each has a value, which begins with its share (LocalPart).
  [[nodiscard]] std::size_t inputs() const { return inputs_; }
  /// Of the outputs' ring.
  [[nodiscard]] std::size_t output_bits() const { return output_bits_; }
  [[nodiscard]] const LocalPart& local() const { return local_; }
  /// Each step is one message each way.
  [[nodiscard]] const std::vector<std::vector<Lookup>>& steps() const { return steps_; }
  /// The tables of an instance that the holder fills, and those back, by index.
  [[nodiscard]] const std::vector<Table>& tables() const { return tables_; }
  [[nodiscard]] const std::vector<Table>& tables_back() const { return tables_back_; }
  /// Transfers of an instance, in either direction.
  [[nodiscard]] std::size_t transfers() const { return transfers_; }
  [[nodiscard]] std::size_t back_transfers() const { return back_transfers_; }
  /// Names the function with its figures in the headers of its messages.
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

  [[nodiscard]] static std::size_t chunk_count(std::size_t instances);
  [[nodiscard]] static std::size_t chunk_instances(std::size_t instances, std::size_t chunk);
  /// Bytes of the messages, headers included.
  [[nodiscard]] std::size_t correlate_bytes(std::size_t instances, std::size_t chunk,
                                            const TreeShape& shape = kShallowTrees) const;
  [[nodiscard]] std::size_t back_bytes(std::size_t instances,
                                       const TreeShape& shape = kShallowTrees) const;
  [[nodiscard]] std::size_t choose_bytes(std::size_t instances, std::size_t step) const;
  [[nodiscard]] std::size_t table_bytes(std::size_t instances, std::size_t step) const;
  /// Of all messages of a phase, from the holder and from the chooser; offline without a stock.
  [[nodiscard]] std::pair<std::size_t, std::size_t> offline_bytes(
      std::size_t instances, const TreeShape& shape = kShallowTrees) const;
  [[nodiscard]] std::pair<std::size_t, std::size_t> online_bytes(std::size_t instances) const;

 private:
  friend class PlanBuilder;
  LookupPlan() = default;

  std::size_t ring_bits_ = 0;
  std::size_t output_bits_ = 0;
  std::size_t inputs_ = 1;
  LocalPart local_;
  std::vector<std::vector<Lookup>> steps_;
  std::vector<Table> tables_;
  std::vector<Table> tables_back_;
  std::size_t transfers_ = 0;
  std::size_t back_transfers_ = 0;
  std::uint64_t digest_ = 0;
};

[[nodiscard]] constexpr Word bit_at(Word word, std::size_t i) { return (word >> i) & 1U; }

}  // namespace capc::gc
