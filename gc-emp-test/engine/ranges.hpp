#pragma once

// Checks of what the callers of the circuit builders give; for the engine's own sources only.

#include <cstddef>
#include <string>

#include "errors.hpp"

namespace capc::gc {

inline void require_range(const char* name, std::size_t value, std::size_t low, std::size_t high) {
  if (value < low || value > high) {
    throw UsageError(std::string(name) + " is " + std::to_string(value) + "; allowed are " +
                     std::to_string(low) + " to " + std::to_string(high));
  }
}

inline void require_ring(std::size_t ring_bits, std::size_t shift) {
  require_range("ring_bits", ring_bits, 2, 64);
  require_range("shift", shift, 0, ring_bits - 2);
}

}  // namespace capc::gc
