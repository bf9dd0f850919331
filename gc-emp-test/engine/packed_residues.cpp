#include "packed_residues.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "residues.hpp"

namespace capc::gc {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::size_t kPairBytes = sizeof(DoubleWord);

}  // namespace

unsigned nibbles_of(std::uint64_t prime) {
  return (static_cast<unsigned>(std::bit_width(prime)) + 3) / 4;
}

std::size_t packed_bytes(std::uint64_t prime, std::size_t count) {
  return (count * nibbles_of(prime) + 1) / 2;
}

void pack(std::uint64_t prime, std::span<const std::uint64_t> values, std::uint8_t* out) {
  const unsigned nibbles = nibbles_of(prime);  // as many bytes has a pair
  const std::size_t size = packed_bytes(prime, values.size());
  std::size_t at = 0;
  for (std::size_t j = 0; j < values.size(); j += 2, at += nibbles) {
    const std::uint64_t second = j + 1 < values.size() ? values[j + 1] : 0;
    const DoubleWord pair = static_cast<DoubleWord>(second) << 4 * nibbles | values[j];
    if (size - at >= kPairBytes) {
      std::memcpy(out + at, &pair, kPairBytes);  // the next pair overwrites what is too much
    } else {
      std::memcpy(out + at, &pair, std::min<std::size_t>(nibbles, size - at));
    }
  }
}

bool unpack(std::uint64_t prime, const std::uint8_t* in, std::span<std::uint64_t> values) {
  const unsigned nibbles = nibbles_of(prime);
  const std::uint64_t mask = ~std::uint64_t{0} >> (64 - 4 * nibbles);
  const std::size_t size = packed_bytes(prime, values.size());
  bool right = true;
  std::size_t at = 0;
  for (std::size_t j = 0; j < values.size(); j += 2, at += nibbles) {
    DoubleWord pair = 0;
    if (size - at >= kPairBytes) {
      std::memcpy(&pair, in + at, kPairBytes);
    } else {
      std::memcpy(&pair, in + at, std::min<std::size_t>(nibbles, size - at));
    }
    const auto first = static_cast<std::uint64_t>(pair) & mask;
    const auto second = static_cast<std::uint64_t>(pair >> 4 * nibbles) & mask;
    values[j] = first;
    if (j + 1 < values.size()) {
      values[j + 1] = second;
      right &= second < prime;
    } else {
      right &= second == 0;
    }
    right &= first < prime;
  }
  return right;
}

}  // namespace capc::gc
