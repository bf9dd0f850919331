#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace capc::gc::programs {

/// The little-endian number in `bytes`, at most eight of them.
[[nodiscard]] inline std::uint64_t load_little(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = (value << 8) | bytes[i];
  return value;
}

/// `value` into `bytes`, least significant first.
inline void store_little(std::uint64_t value, std::span<std::uint8_t> bytes) {
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(value & 0xFF);
    value >>= 8;
  }
}

}  // namespace capc::gc::programs
