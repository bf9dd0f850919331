#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "builder.hpp"

namespace capc::gc {

/// `word` with its last bit repeated up to `width` bits; unchanged where it is as wide already.
[[nodiscard]] Bits sign_extended(Bits word, std::size_t width);

/// |word| of a two's complement word of n + 1 bits that is not -2^n: n bits, n - 1 AND gates.
[[nodiscard]] Bits absolute(Builder& builder, const Bits& word);

/// The square of an unsigned word of n bits, 2n bits: n (n - 1) - 1 AND gates for n >= 2.
[[nodiscard]] Bits square(Builder& builder, const Bits& word);

/// An unsigned word of h bits times a word of q bits, signed or not: q + h bits and (2 h - 1) q AND
/// gates.
[[nodiscard]] Bits product(Builder& builder, const Bits& word, const Bits& factor, bool is_signed);

/// One-hot of an unsigned index of r bits, all zero unless `active`: 2^r - 1 AND gates, one fewer
/// where `active` is constant.
[[nodiscard]] Bits one_hot_index(Builder& builder, const Bits& index, Bit active);

/// The word of `table` that `one_hot` points at, the lowest `width` bits; no AND gate.
[[nodiscard]] Bits look_up(Builder& builder, const std::vector<std::int64_t>& table,
                           const Bits& one_hot, std::size_t width);

/// Bits of a two's complement word that holds `value`.
[[nodiscard]] std::size_t signed_width(std::int64_t value);

}  // namespace capc::gc
