#pragma once

// What one of the parties has of a batch's bits; for the engine's own sources only.

#include <vector>

#include "bit_planes.hpp"
#include "lookup_plan.hpp"
#include "node_tables.hpp"

namespace capc::gc {

enum class Party : std::uint8_t { Holder, Chooser };

/// One party's parts of the numbers that a batch compares, and its shares of the nodes, by bits.
class PartyBits {
 public:
  PartyBits(const LookupPlan& plan, Party party, std::size_t instances);

  /// Memory of one instance.
  [[nodiscard]] static std::size_t instance_bytes(const LookupPlan& plan);

  /// The party's shares, of ring_bits: the first input's of all instances, then the next one's.
  void begin(const Word* shares);

  // Of the instances of a slice.

  /// The highest bit of a number's part.
  [[nodiscard]] Slice top(const Compared& number, std::size_t slice) const;
  /// This party's part of a bit: of EitherTop to be joined by or, else by exclusive or.
  [[nodiscard]] Slice bit(const SharedBit& bit, std::size_t slice) const;
  /// Where this party reads the other's table, but for a leaf's at the holder, which has none.
  [[nodiscard]] Choice choice(const Lookup& lookup, std::size_t slice) const;
  /// What this party's bits add to a table of nodes, for each choice of the other party.
  [[nodiscard]] NodeTable table(const Lookup& lookup, std::size_t slice) const;
  /// And besides, for every choice.
  [[nodiscard]] NodeEntry added(const Lookup& lookup, std::size_t slice) const;
  /// Adds bits to this party's shares of the nodes that a table gives.
  void add(const Lookup& lookup, const NodeEntry& bits, std::size_t slice);

  /// One instance's share of a node's bit.
  [[nodiscard]] Word greater(std::size_t node, std::size_t instance) const;
  [[nodiscard]] Word equal(std::size_t node, std::size_t instance) const;

 private:
  /// A number whose bits are in use; of a sloped one the share times `slope`.
  struct Part {
    Compared number;
    bool is_sloped = false;
    friend bool operator==(const Part&, const Part&) = default;
  };
  [[nodiscard]] static std::vector<Part> parts_of(const LookupPlan& plan);
  [[nodiscard]] static std::size_t node_count(const LookupPlan& plan);
  [[nodiscard]] Word word_of(const Part& part, const Word* shares, std::size_t instance) const;
  /// The plane of a part's lowest bit.
  [[nodiscard]] std::size_t plane_of(const Part& part) const;
  [[nodiscard]] Choice leaf_bits(const Lookup& leaf, std::size_t result, std::size_t slice) const;
  [[nodiscard]] NodeTable joined_table(const Lookup& merge, std::size_t slice) const;
  [[nodiscard]] Slice party_constant() const { return party_ == Party::Holder ? ~Slice{0} : 0; }

  const LookupPlan& plan_;
  Party party_;
  std::size_t instances_;
  std::vector<Part> parts_;
  BitPlanes words_;    // ring_bits of each part
  BitPlanes greater_;  // of each node
  BitPlanes equal_;
};

/// A share of so many bits as a signed number.
[[nodiscard]] constexpr std::int64_t signed_share(std::size_t ring_bits, Word share) {
  const std::size_t above = 64 - ring_bits;
  return static_cast<std::int64_t>(share << above) >> above;
}

}  // namespace capc::gc
