#pragma once

#include <span>
#include <vector>

#include "plan_builder.hpp"

namespace capc::gc {

/// The last nodes of trees of comparisons.
struct Comparison {
  std::size_t low = kNoNode;         ///< the carry out of the bits below `cut`; none where cut is 0
  std::vector<std::size_t> carries;  ///< out of those below `end_bit`: one for each number
  std::size_t beside = kNoNode;      ///< of the tree that went along
};

/// Compares the bits below end_bit of one or two numbers. They are one input, of which the holder
/// takes off nothing for the first, and a multiple of 2^cut for the second. It begins in the open
/// step and ends in another one; `low` is ready before that. A tree of other leaves, `beside`, goes
/// along with the carries.
[[nodiscard]] Comparison compare(PlanBuilder& builder, std::size_t cut, std::size_t end_bit,
                                 std::span<const Compared> numbers, PlanBuilder::Nodes beside = {});

}  // namespace capc::gc
