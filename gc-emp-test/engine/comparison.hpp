#pragma once

#include <span>
#include <vector>

#include "plan_builder.hpp"

namespace capc::gc {

/// The last nodes of trees of comparisons.
struct Comparison {
  std::size_t low = kNoNode;         ///< the carry out of the bits below `cut`; none where cut is 0
  std::vector<std::size_t> carries;  ///< out of those below `end_bit`: one for each of `taken_off`
  std::size_t beside = kNoNode;      ///< of the tree that went along
};

/// Compares the bits below end_bit, once for each of one or two numbers that the holder takes off
/// its share, of which the first is 0 and the second a multiple of 2^cut. It begins in the open
/// step and ends in another one; `low` is ready before that. A tree of other leaves, `beside`, goes
/// along with the carries.
[[nodiscard]] Comparison compare(PlanBuilder& builder, std::size_t cut, std::size_t end_bit,
                                 std::span<const Word> taken_off, PlanBuilder::Nodes beside = {});

}  // namespace capc::gc
