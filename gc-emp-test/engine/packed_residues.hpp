#pragma once

// Residues on the wire: in as few nibbles each as the prime needs, little-endian. Two residues of
// an odd number of nibbles share a byte; what is left of a last byte is 0.

#include <cstddef>
#include <cstdint>
#include <span>

namespace capc::gc {

/// The nibbles of a residue modulo `prime`, below 2^64.
[[nodiscard]] unsigned nibbles_of(std::uint64_t prime);

/// The bytes of `count` residues modulo `prime`.
[[nodiscard]] std::size_t packed_bytes(std::uint64_t prime, std::size_t count);

/// Writes packed_bytes(prime, values.size()) bytes.
void pack(std::uint64_t prime, std::span<const std::uint64_t> values, std::uint8_t* out);

/// Reads packed_bytes(prime, values.size()) bytes; whether all residues are below the prime and
/// what is left of a last byte is 0.
[[nodiscard]] bool unpack(std::uint64_t prime, const std::uint8_t* in,
                          std::span<std::uint64_t> values);

}  // namespace capc::gc
