#include "arithmetic.hpp"

#include <algorithm>
#include <bit>

#include "errors.hpp"

namespace capc::gc {
namespace {

Bits part(const Bits& word, std::size_t from, std::size_t to) {
  return {word.begin() + static_cast<std::ptrdiff_t>(from),
          word.begin() + static_cast<std::ptrdiff_t>(to)};
}

}  // namespace

Bits sign_extended(Bits word, std::size_t width) {
  if (word.size() < width) word.resize(width, word.back());
  return word;
}

Bits absolute(Builder& builder, const Bits& word) {
  const Bit negative = word.back();
  Bits result;
  Bit carry = negative;
  for (std::size_t i = 0; i + 1 < word.size(); ++i) {
    const Bit flipped = builder.xor_(word[i], negative);
    result.push_back(builder.xor_(flipped, carry));
    if (i + 2 < word.size()) carry = builder.and_(flipped, carry);
  }
  return result;
}

Bits square(Builder& builder, const Bits& word) {
  // (low + 2^k x_k)^2 = low^2 + 2^(k+1) x_k low + 2^(2k) x_k, so that each step adds k + 1 bits.
  Bits result{word[0], Bit::constant(false)};
  for (std::size_t k = 1; k < word.size(); ++k) {
    Bits addend = builder.and_all(word[k], part(word, 0, k));
    const Bit top = addend.back();
    addend.back() = builder.xor_(top, word[k]);
    addend.push_back(top);
    Bits high = part(result, k + 1, 2 * k);
    high.resize(k + 1, Bit::constant(false));
    const Bits sum = builder.add(high, addend);
    result.resize(k + 1, Bit::constant(false));
    result.insert(result.end(), sum.begin(), sum.end());
  }
  return result;
}

Bits product(Builder& builder, const Bits& word, const Bits& factor, bool is_signed) {
  const std::size_t width = factor.size() + 1;
  const auto widened = [&](Bits row) {
    row.resize(width, is_signed ? row.back() : Bit::constant(false));
    return row;
  };
  Bits result;
  Bits high = builder.and_all(word[0], factor);
  for (std::size_t i = 1; i < word.size(); ++i) {
    result.push_back(high.front());
    const Bits above = widened(part(high, 1, high.size()));
    high = builder.add(above, widened(builder.and_all(word[i], factor)));
  }
  result.insert(result.end(), high.begin(), high.end());
  return result;
}

Bits one_hot_index(Builder& builder, const Bits& index, Bit active) {
  Bits leaves{active};
  for (std::size_t i = index.size(); i-- > 0;) {
    Bits next;
    for (const Bit leaf : leaves) {
      const Bit right = builder.and_(leaf, index[i]);
      next.push_back(builder.xor_(leaf, right));
      next.push_back(right);
    }
    leaves = std::move(next);
  }
  return leaves;
}

Bits look_up(Builder& builder, const std::vector<std::int64_t>& table, const Bits& one_hot,
             std::size_t width) {
  if (table.size() != one_hot.size()) throw UsageError("a table and its index differ in size");
  Bits result(width, Bit::constant(false));
  for (std::size_t j = 0; j < table.size(); ++j) {
    for (std::size_t i = 0; i < width; ++i) {
      if (((table[j] >> std::min<std::size_t>(i, 63)) & 1) != 0) {
        result[i] = builder.xor_(result[i], one_hot[j]);
      }
    }
  }
  return result;
}

std::size_t signed_width(std::int64_t value) {
  const auto magnitude = static_cast<std::uint64_t>(value < 0 ? ~value : value);
  return static_cast<std::size_t>(std::bit_width(magnitude)) + 1;
}

}  // namespace capc::gc
