#include "layer_circuits.hpp"

#include <algorithm>
#include <bit>

#include "builder.hpp"
#include "ranges.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kMaxWords = 65536;

[[nodiscard]] Bits constant(Word value, std::size_t bits) {
  Bits word;
  for (std::size_t i = 0; i < bits; ++i) {
    word.push_back(Bit::constant(i < 64 && ((value >> i) & 1U) != 0));
  }
  return word;
}

/// The bits from `first` on, `count` of them, the last one repeated where the word is shorter.
[[nodiscard]] Bits signed_slice(const Bits& word, std::size_t first, std::size_t count) {
  Bits out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(word[std::min(first + i, word.size() - 1)]);
  return out;
}

/// word · factor mod 2^width for a public factor: one addition for each further bit that is set.
[[nodiscard]] Bits times_constant(Builder& builder, const Bits& word, Word factor,
                                  std::size_t width) {
  Bits sum = constant(0, width);
  bool empty = true;
  for (std::size_t i = 0; i < 64 && i < width; ++i) {
    if (((factor >> i) & 1U) == 0) continue;
    const Bits shifted = signed_slice(word, 0, width - i);
    if (empty) {
      std::copy(shifted.begin(), shifted.end(), sum.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      const Bits high(sum.begin() + static_cast<std::ptrdiff_t>(i), sum.end());
      const Bits added = builder.add(high, shifted);
      std::copy(added.begin(), added.end(), sum.begin() + static_cast<std::ptrdiff_t>(i));
    }
    empty = false;
  }
  return sum;
}

/// The square of an unsigned word of n bits in 2n: (m + 2M)^2 = m + 4 (m M + M^2).
[[nodiscard]] Bits square(Builder& builder, const Bits& word) {
  if (word.size() == 1) return {word[0], Bit::constant(false)};
  const Bits upper(word.begin() + 1, word.end());
  Bits product = builder.and_all(word[0], upper);
  product.resize(2 * upper.size(), Bit::constant(false));
  const Bits sum = builder.add(product, square(builder, upper));
  Bits result{word[0], Bit::constant(false)};
  result.insert(result.end(), sum.begin(), sum.end());
  return result;
}

[[nodiscard]] std::vector<Bits> shared_words(Builder& builder, std::size_t bits,
                                             std::size_t count) {
  std::vector<SharePair> shares;
  for (std::size_t j = 0; j < count; ++j) shares.push_back(builder.shared_input(bits));
  std::vector<Bits> words;
  for (const SharePair& share : shares) words.push_back(builder.reconstruct(share));
  return words;
}

}  // namespace

Circuit bounded_relu_circuit(std::size_t ring_bits, std::size_t shift, Word cap) {
  require_ring(ring_bits, shift);
  const std::size_t width = ring_bits - 1 - shift;
  require_range("cap", cap, 1, (Word{1} << width) - 1);
  Builder builder;
  const Bits x = builder.reconstruct(builder.shared_input(ring_bits));
  const Bits kept = signed_slice(x, shift, width);
  const Bit positive = builder.not_(x.back());
  const Bit capped = builder.and_(positive, builder.less_unsigned(constant(cap, width), kept));
  const Bit passed = builder.xor_(positive, capped);
  Bits y;
  for (std::size_t i = 0; i < static_cast<std::size_t>(std::bit_width(cap)); ++i) {
    const Bit bit = builder.and_(passed, kept[i]);
    y.push_back(((cap >> i) & 1U) != 0 ? builder.xor_(bit, capped) : bit);
  }
  builder.output_shared(y, ring_bits, false);
  return builder.finish();
}

std::size_t bounded_relu_and_count(std::size_t ring_bits, std::size_t shift, Word cap) {
  const std::size_t width = ring_bits - 1 - shift;
  const auto ones = static_cast<std::size_t>(std::countr_one(cap));
  // A cap of all ones cannot be exceeded: no comparison and nothing to cut.
  const std::size_t compare = ones >= width ? 0 : width - ones;
  return ring_bits - 1 + compare + static_cast<std::size_t>(std::bit_width(cap));
}

Circuit leaky_relu_circuit(std::size_t ring_bits, std::size_t shift, Word slope,
                           std::size_t fraction_bits) {
  require_ring(ring_bits, shift);
  require_range("fraction_bits", fraction_bits, 0, 62);
  require_range("slope", slope, 0, (Word{1} << fraction_bits) - 1);
  Builder builder;
  const Bits x = builder.reconstruct(builder.shared_input(ring_bits));
  const Bits product = times_constant(builder, x, slope, ring_bits + fraction_bits);
  const std::size_t width = ring_bits - shift;
  const Bits above = signed_slice(x, shift, width);
  const Bits below = signed_slice(product, shift + fraction_bits, width);
  builder.output_shared(builder.mux(x.back(), below, above), ring_bits, true);
  return builder.finish();
}

Circuit square_circuit(std::size_t ring_bits, std::size_t shift, std::size_t fraction_bits) {
  require_ring(ring_bits, shift);
  require_range("fraction_bits", fraction_bits, 0, ring_bits - 1);
  Builder builder;
  const Bits x = builder.reconstruct(builder.shared_input(ring_bits));
  // y < 2^(ring_bits - 1) bounds |x >> shift| by this many bits; higher ones repeat the sign.
  const std::size_t bound = (ring_bits - 1 + fraction_bits + 1) / 2 + 1;
  const Bits value = signed_slice(x, shift, std::min(bound, ring_bits - shift));
  Bits flipped;
  for (const Bit bit : value) flipped.push_back(builder.xor_(bit, value.back()));
  Bits one = constant(0, value.size());
  one[0] = value.back();
  const Bits magnitude = builder.add(flipped, one);
  const Bits squared = square(builder, magnitude);
  Bits y;
  for (std::size_t i = fraction_bits; i < squared.size() && y.size() < ring_bits; ++i) {
    y.push_back(squared[i]);
  }
  if (y.empty()) y.push_back(Bit::constant(false));
  builder.output_shared(y, ring_bits, false);
  return builder.finish();
}

Circuit maximum_circuit(std::size_t ring_bits, std::size_t window) {
  require_range("ring_bits", ring_bits, 1, 64);
  require_range("window", window, 1, kMaxWords);
  Builder builder;
  std::vector<Bits> words = shared_words(builder, ring_bits, window);
  while (words.size() > 1) {
    std::vector<Bits> winners;
    for (std::size_t j = 0; j + 1 < words.size(); j += 2) {
      const Bit right = builder.less_signed(words[j], words[j + 1]);
      winners.push_back(builder.mux(right, words[j + 1], words[j]));
    }
    if (words.size() % 2 != 0) winners.push_back(words.back());
    words = std::move(winners);
  }
  builder.output_shared(words[0], ring_bits, true);
  return builder.finish();
}

std::size_t maximum_and_count(std::size_t ring_bits, std::size_t window) {
  return window * (ring_bits - 1) + 2 * ring_bits * (window - 1);
}

Circuit step_circuit(std::size_t ring_bits, std::size_t output_bits, std::size_t place) {
  require_range("ring_bits", ring_bits, 1, 64);
  require_range("output_bits", output_bits, 1, 64);
  require_range("place", place, 0, output_bits - 1);
  Builder builder;
  const Bits x = builder.reconstruct(builder.shared_input(ring_bits));
  Bits y(place, Bit::constant(false));
  y.push_back(builder.not_(x.back()));
  builder.output_shared(y, output_bits, false);
  return builder.finish();
}

std::size_t step_and_count(std::size_t ring_bits) { return ring_bits - 1; }

Circuit top_k_circuit(std::size_t ring_bits, std::size_t classes, std::size_t k,
                      std::size_t vote_bits) {
  require_range("ring_bits", ring_bits, 1, 64);
  require_range("vote_bits", vote_bits, 1, 64);
  require_range("classes", classes, 2, kMaxWords);
  require_range("k", k, 1, classes - 1);
  Builder builder;
  std::vector<Bits> words = shared_words(builder, ring_bits, classes);
  // From the second round on one more bit lets a chosen word fall below every other.
  std::vector<Bit> chosen(classes, Bit::constant(false));
  for (std::size_t round = 0; round < k; ++round) {
    std::vector<Bits> rivals = words;
    for (std::size_t j = 0; round > 0 && j < classes; ++j) {
      const Bit sign = words[j].back();
      const Bit both = builder.and_(sign, chosen[j]);
      rivals[j].back() = builder.xor_(sign, both);
      rivals[j].push_back(builder.xor_(rivals[j].back(), chosen[j]));
    }
    const Bits winner = argmax_one_hot(builder, rivals, Bit::constant(true));
    for (std::size_t j = 0; j < classes; ++j) chosen[j] = builder.xor_(chosen[j], winner[j]);
  }
  for (const Bit bit : chosen) builder.output_shared({bit}, vote_bits, false);
  return builder.finish();
}

std::size_t top_k_and_count(std::size_t ring_bits, std::size_t classes, std::size_t k) {
  const auto round = [&](std::size_t bits) { return (2 * classes - 3) * bits + classes - 2; };
  return classes * (ring_bits - 1) + round(ring_bits) + (k - 1) * (classes + round(ring_bits + 1));
}

}  // namespace capc::gc
