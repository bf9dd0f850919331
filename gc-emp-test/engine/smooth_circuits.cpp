#include "smooth_circuits.hpp"

#include <algorithm>
#include <bit>

#include "arithmetic.hpp"
#include "errors.hpp"
#include "ranges.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kMaxSegments = 4096;

Bits slice(const Bits& word, std::size_t from, std::size_t to) {
  return {word.begin() + static_cast<std::ptrdiff_t>(from),
          word.begin() + static_cast<std::ptrdiff_t>(to)};
}

/// What the table of a PiecewiseLinear needs in a circuit.
struct TableWidths {
  std::size_t index_bits;
  std::size_t offset_bits;
  std::size_t slope_bits;  // with sign where is_signed
  bool is_signed;
  std::size_t sum_bits;  // of bases[j] + slopes[j] * u, with sign
};

TableWidths widths_of(const PiecewiseLinear& function) {
  const std::size_t segments = function.slopes.size();
  require_range("the number of segments", segments, 2, kMaxSegments);
  require_range("reach", function.reach, 1, 48);
  require_range("slope_bits", function.slope_bits, 0, 24);
  if (!std::has_single_bit(segments) || function.bases.size() != segments ||
      std::bit_width(segments) > function.reach + 1) {
    throw UsageError("the segments are not a power of two, each with a slope and a base");
  }
  TableWidths widths{};
  widths.index_bits = static_cast<std::size_t>(std::bit_width(segments)) - 1;
  widths.offset_bits = function.reach + 1 - widths.index_bits;
  const auto [lowest, highest] =
      std::minmax_element(function.slopes.begin(), function.slopes.end());
  constexpr std::int64_t kMost = std::int64_t{1} << 53;
  const std::int64_t last = (std::int64_t{1} << widths.offset_bits) - 1;
  if (*lowest < -(kMost >> widths.offset_bits) || *highest > (kMost >> widths.offset_bits)) {
    throw UsageError("a slope is too steep");
  }
  widths.is_signed = *lowest < 0;
  widths.slope_bits = std::max(signed_width(*lowest), signed_width(*highest));
  if (!widths.is_signed) --widths.slope_bits;
  for (std::size_t j = 0; j < segments; ++j) {
    if (function.bases[j] < -kMost || function.bases[j] > kMost) {
      throw UsageError("a base is too large");
    }
    const std::int64_t end = function.bases[j] + function.slopes[j] * last;
    widths.sum_bits =
        std::max({widths.sum_bits, signed_width(function.bases[j]), signed_width(end)});
  }
  widths.sum_bits = std::max(widths.sum_bits, function.slope_bits + 1);
  return widths;
}

/// (bases[j] + slopes[j] * u) >> slope_bits, signed; zero where no segment is active.
Bits interior(Builder& builder, const PiecewiseLinear& function, const TableWidths& widths,
              const Bits& offset, const Bits& one_hot) {
  const Bits base = look_up(builder, function.bases, one_hot, widths.sum_bits);
  Bits sum = base;
  if (widths.slope_bits > 0) {
    const Bits slope = look_up(builder, function.slopes, one_hot, widths.slope_bits);
    Bits rise = product(builder, offset, slope, widths.is_signed);
    if (!widths.is_signed) rise.push_back(Bit::constant(false));
    rise = sign_extended(std::move(rise), widths.sum_bits);
    rise.resize(widths.sum_bits, Bit::constant(false));
    sum = builder.add(base, rise);
  }
  return slice(sum, function.slope_bits, sum.size());
}

void xor_constant(Builder& builder, Bits& word, std::int64_t value, Bit active) {
  word = sign_extended(std::move(word), signed_width(value));
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (((value >> std::min<std::size_t>(i, 63)) & 1) != 0) {
      word[i] = builder.xor_(word[i], active);
    }
  }
}

}  // namespace

Circuit narrow_square_circuit(std::size_t ring_bits, std::size_t shift, std::size_t drop,
                              std::size_t value_bits) {
  require_ring(ring_bits, shift);
  require_range("drop", drop, 0, 63);
  require_range("value_bits", value_bits, 2, (ring_bits + drop) / 2);
  if (shift + value_bits > ring_bits || drop >= 2 * value_bits) {
    throw UsageError("value_bits does not fit between shift and ring_bits, or drop takes all");
  }
  Builder builder;
  const Bits x =
      sign_extended(builder.reconstruct(builder.shared_input(ring_bits)), shift + value_bits + 1);
  const Bits size = absolute(builder, slice(x, shift, shift + value_bits + 1));
  const Bits squared = square(builder, size);
  builder.output_shared(slice(squared, drop, squared.size()), ring_bits, false);
  return builder.finish();
}

std::size_t narrow_square_and_count(std::size_t shift, std::size_t value_bits) {
  return (shift + value_bits) + (value_bits - 1) + value_bits * (value_bits - 1) - 1;
}

Circuit piecewise_linear_circuit(std::size_t ring_bits, std::size_t shift,
                                 const PiecewiseLinear& function) {
  require_ring(ring_bits, shift);
  const TableWidths widths = widths_of(function);
  Builder builder;
  const Bits x = builder.reconstruct(builder.shared_input(ring_bits));
  const Bits v = sign_extended(slice(x, shift, ring_bits), function.reach + 1);
  const Bit negative = v.back();
  Bit inside = Bit::constant(true);
  for (std::size_t i = function.reach; i + 1 < v.size(); ++i) {
    inside = builder.and_(inside, builder.not_(builder.xor_(v[i], negative)));
  }
  const Bit below = builder.and_(builder.not_(inside), negative);
  const Bit above = builder.xor_(builder.not_(inside), below);
  Bits index = slice(v, widths.offset_bits, function.reach + 1);
  index.back() = builder.not_(index.back());
  const Bits one_hot = one_hot_index(builder, index, inside);
  Bits y = interior(builder, function, widths, slice(v, 0, widths.offset_bits), one_hot);
  if (!function.above) {
    Bits passed = builder.and_all(above, slice(v, 0, v.size() - 1));
    passed.push_back(Bit::constant(false));
    y = sign_extended(std::move(y), passed.size());
    for (std::size_t i = 0; i < passed.size(); ++i) y[i] = builder.xor_(y[i], passed[i]);
  } else {
    xor_constant(builder, y, *function.above, above);
  }
  xor_constant(builder, y, function.below, below);
  // Beyond the ring nothing counts; within it the last bit is the sign.
  y.resize(std::min(y.size(), ring_bits), Bit::constant(false));
  builder.output_shared(y, ring_bits, true);
  return builder.finish();
}

std::size_t piecewise_linear_and_count(std::size_t ring_bits, std::size_t shift,
                                       const PiecewiseLinear& function) {
  const TableWidths widths = widths_of(function);
  const std::size_t kept = std::max(ring_bits - shift, function.reach + 1);
  // Two AND gates fewer where no value of the ring leaves the segments.
  const bool leaves = ring_bits - shift > function.reach + 1;
  const bool passes = leaves && !function.above;
  const bool marks = leaves && (function.below != 0 || function.above != std::int64_t{0});
  const std::size_t outside = kept - 1 - function.reach - (leaves ? 1 : 0) + (marks ? 1 : 0);
  const std::size_t one_hot = (std::size_t{1} << widths.index_bits) - (leaves ? 1 : 2);
  const std::size_t times =
      widths.slope_bits == 0 ? 0 : (2 * widths.offset_bits - 1) * widths.slope_bits;
  const std::size_t add = widths.slope_bits == 0 ? 0 : widths.sum_bits - 1;
  return (ring_bits - 1) + outside + one_hot + times + add + (passes ? kept - 1 : 0);
}

}  // namespace capc::gc
