#include "transforms.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "errors.hpp"

namespace capc::gc {
namespace {

// A vector needs 16 values; smaller polynomials are of no use but in tests.
constexpr std::size_t kLeastOfVectors = 32;
// Of the numbers from 2 on, half give a root modulo a prime.
constexpr std::uint64_t kMostTried = 200;

PrimeModulus modulus_for(std::size_t degree, std::uint64_t prime) {
  if (!std::has_single_bit(degree) || degree < 2) {
    throw UsageError("polynomials have " + std::to_string(degree) +
                     " coefficients; allowed are powers of two, from 2 on");
  }
  if (prime >> kMaxTransformBits != 0 || prime % (2 * degree) != 1) {
    throw UsageError("a prime is " + std::to_string(prime) + "; transforms need one below 2^" +
                     std::to_string(kMaxTransformBits) + " that leaves 1 divided by " +
                     std::to_string(2 * degree));
  }
  return PrimeModulus(prime);
}

std::size_t reversed_bits(std::size_t number, int bits) {
  std::size_t reversed = 0;
  for (int k = 0; k < bits; ++k) reversed |= (number >> k & 1U) << (bits - 1 - k);
  return reversed;
}

}  // namespace

Transform::Transform(std::size_t degree, std::uint64_t prime, Path path)
    : modulus_(modulus_for(degree, prime)),
      loops_(&residue_loops_of(degree < kLeastOfVectors ? Path::Portable : path)) {
  const std::uint64_t root = least_root(degree);
  fill(forward_, root, degree);
  fill(inverse_, power(root, 2 * degree - 1), degree);
  const std::uint64_t half = (prime + 1) / 2;
  const std::uint64_t inverse_degree = power(half, static_cast<unsigned>(std::countr_zero(degree)));
  scale_ = modulus_.factor(inverse_degree);
  last_scale_ = modulus_.factor(multiply(inverse_degree, inverse_.roots[1]));
}

std::uint64_t Transform::power(std::uint64_t base, std::uint64_t exponent) const {
  std::uint64_t result = 1;
  for (; exponent != 0; exponent /= 2) {
    if (exponent % 2 == 1) result = multiply(result, base);
    base = multiply(base, base);
  }
  return result;
}

std::uint64_t Transform::least_root(std::size_t degree) const {
  const std::uint64_t prime = modulus_.value();
  for (std::uint64_t base = 2; base < kMostTried && base < prime; ++base) {
    std::uint64_t root = power(base, (prime - 1) / (2 * degree));
    if (power(root, degree) != prime - 1) continue;
    const std::uint64_t square = multiply(root, root);
    std::uint64_t least = root;
    for (std::size_t k = 1; k < degree; ++k) {
      root = multiply(root, square);
      least = std::min(least, root);
    }
    return least;
  }
  throw UsageError(std::to_string(prime) + " has no root of unity: is it a prime?");
}

void Transform::fill(Powers& powers, std::uint64_t root, std::size_t degree) const {
  powers.roots.resize(degree);
  powers.quotients.resize(degree);
  const int bits = std::countr_zero(degree);
  std::uint64_t value = 1;
  for (std::size_t k = 0; k < degree; ++k) {
    const std::size_t place = reversed_bits(k, bits);
    powers.roots[place] = value;
    powers.quotients[place] = modulus_.factor(value).quotient;
    value = multiply(value, root);
  }
}

TransformView Transform::view(const Powers& powers) const {
  return {degree(), prime(), powers.roots.data(), powers.quotients.data(), scale_, last_scale_};
}

}  // namespace capc::gc
