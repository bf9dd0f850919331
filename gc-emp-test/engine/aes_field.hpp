#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// The field GF(2^8) of AES (FIPS-197, section 4) and its tower over GF(2^4), at compile time: the
// portable path inverts in the tower, where an inversion takes a quarter of the gates.
namespace capc::gc::field {

constexpr std::uint8_t multiply(std::uint8_t a, std::uint8_t b) {
  unsigned product = 0;
  for (int i = 0; i < 8; ++i) {
    if (((b >> i) & 1) != 0) product ^= unsigned{a} << i;
  }
  for (int i = 14; i >= 8; --i) {
    if (((product >> i) & 1U) != 0) product ^= 0x11bU << (i - 8);
  }
  return static_cast<std::uint8_t>(product);
}

/// A linear map on eight bits: column i is the image of bit i.
using Map = std::array<std::uint8_t, 8>;

constexpr std::uint8_t apply(const Map& map, std::uint8_t x) {
  std::uint8_t y = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    if (((x >> i) & 1) != 0) y ^= map[i];
  }
  return y;
}

constexpr Map invert(const Map& map) {
  Map inverse{};
  for (unsigned x = 0; x < 256; ++x) {
    const std::uint8_t image = apply(map, static_cast<std::uint8_t>(x));
    for (std::size_t i = 0; i < 8; ++i) {
      if (image == (1U << i)) inverse[i] = static_cast<std::uint8_t>(x);
    }
  }
  return inverse;
}

/// z with z^4 = z + 1, which generates GF(2^4) in GF(2^8).
constexpr std::uint8_t subfield_generator() {
  for (unsigned z = 2; z < 256; ++z) {
    const auto square = multiply(static_cast<std::uint8_t>(z), static_cast<std::uint8_t>(z));
    if (multiply(square, square) == (z ^ 1U)) return static_cast<std::uint8_t>(z);
  }
  return 0;
}

/// The exponent e in 1..15 and y for which y^2 + y = z^e and y is outside GF(2^4).
struct Extension {
  std::uint8_t y;
  unsigned exponent;
};

constexpr Extension find_extension() {
  const std::uint8_t z = subfield_generator();
  for (unsigned y = 2; y < 256; ++y) {
    const auto byte = static_cast<std::uint8_t>(y);
    const auto value = static_cast<std::uint8_t>(multiply(byte, byte) ^ byte);
    std::uint8_t power = 1;
    for (unsigned e = 1; e <= 15; ++e) {
      power = multiply(power, z);
      if (power == value) {
        // y of GF(2^4) satisfies y^16 = y.
        std::uint8_t frobenius = byte;
        for (int i = 0; i < 4; ++i) frobenius = multiply(frobenius, frobenius);
        if (frobenius != byte) return {byte, e};
      }
    }
  }
  return {0, 0};
}

constexpr Extension kExtension = find_extension();
static_assert(kExtension.y != 0);

/// Coordinates (low, high) over GF(2^4), each in powers of z, to an AES byte: low + high y.
constexpr Map tower_to_aes() {
  Map map{};
  std::uint8_t power = 1;
  for (std::size_t i = 0; i < 4; ++i) {
    map[i] = power;
    map[i + 4] = multiply(power, kExtension.y);
    power = multiply(power, subfield_generator());
  }
  return map;
}

/// The affine map of SubBytes without its constant 0x63.
constexpr Map affine() {
  Map map{};
  for (unsigned i = 0; i < 8; ++i) {
    for (unsigned shift = 0; shift < 5; ++shift) {
      map[i] = static_cast<std::uint8_t>(map[i] ^ (1U << ((i + shift) % 8)));
    }
  }
  return map;
}

constexpr Map compose(const Map& outer, const Map& inner) {
  Map map{};
  for (std::size_t i = 0; i < 8; ++i) map[i] = apply(outer, inner[i]);
  return map;
}

constexpr Map kToTower = invert(tower_to_aes());
constexpr Map kFromTowerAffine = compose(affine(), tower_to_aes());

}  // namespace capc::gc::field
