#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace capc::gc {

using ResidueSeed = std::array<std::uint8_t, 32>;

/// Uniform residues (count, primes, degree) from a public seed, the same everywhere.
///
/// AES-256 in counter mode gives little-endian words of 4 bytes (primes below 2^32) or 8, cut to
/// the prime's length; those not below the prime are skipped. Time depends on the seed.
void expand_residues(const ResidueSeed& seed, std::span<const std::uint64_t> primes,
                     std::size_t count, std::size_t degree, std::uint64_t* out);

}  // namespace capc::gc
