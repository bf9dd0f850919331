#pragma once

#include <cstdint>
#include <vector>

namespace capc::gc {

/// Appends a number, its lowest byte first.
void append_number(std::vector<std::uint8_t>& text, std::uint64_t number);

/// The first 64 bits of SHA-256: the name of a circuit or a plan in the headers of its messages.
[[nodiscard]] std::uint64_t short_digest(const std::vector<std::uint8_t>& text);

}  // namespace capc::gc
