#pragma once

#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "kernels.hpp"

namespace capc::gc {

/// Ones in a row of the code's matrix.
constexpr std::size_t kCodeWeight = 10;

/// rows[i] ^= the sum of kCodeWeight of the `length` secrets, for i < count. Which ones they are is
/// the key stream under `code`, at the place of row `first` + i: public, and the same at both
/// parties. Both `first` and `count` are multiples of kCodeRows.
constexpr std::size_t kCodeRows = 512;
void add_code_rows(const Kernels& kernels, const RoundKeys& code, std::size_t first,
                   std::size_t count, const Block* secrets, std::size_t length, Block* rows);

}  // namespace capc::gc
