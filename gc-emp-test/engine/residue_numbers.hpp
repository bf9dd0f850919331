#pragma once

// Integers and their residues modulo word-sized primes: sums, roundings, small noise. No branch and
// no index depends on a value.

#include <cstddef>
#include <cstdint>
#include <span>

#include "residues.hpp"

namespace capc::gc {

/// The most terms that a linear combination may have: so many products of a word and a residue, and
/// a residue, are below 2^128.
inline constexpr std::size_t kMaxCombined = 7;

/// out[j] = offset + sum_k factors[k] * values[k][j] modulo the prime, for any words `values`
/// (factors, count). Factors and offset are below the prime, and there are up to kMaxCombined.
void combine(const PrimeModulus& modulus, std::span<const std::uint64_t> factors,
             std::uint64_t offset, const std::uint64_t* values, std::span<std::uint64_t> out);

/// round(2^ring_bits x / q) modulo 2^ring_bits, 0 < ring_bits < 64, with q the product of the
/// primes, for numbers x with the residues `values` (primes, count), row by row.
///
/// `factors[p]` is (q / p)^-1 modulo p: but for an integer, x / q is the sum of y / p over the
/// primes, with y = factors[p] x modulo p. Each quotient is cut to 128 binary places, so that
/// results are right where 2^ring_bits x / q is further than 2^(ring_bits - 128) for each prime
/// from the middle of two integers.
void rounded_quotients(std::span<const PrimeModulus> moduli, std::span<const std::uint64_t> factors,
                       unsigned ring_bits, const std::uint64_t* values,
                       std::span<std::uint64_t> out);

/// Adds small[j], above -p and below p, to the residue values[j].
void add_small(const PrimeModulus& modulus, std::span<const std::int8_t> small,
               std::uint64_t* values);

/// Of each word of random bits, the number of ones among its lowest `coins` bits minus that among
/// the next `coins`, at most 32: centred binomial numbers.
void binomial(std::span<const std::uint64_t> words, unsigned coins, std::int8_t* out);

}  // namespace capc::gc
