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

}  // namespace

Transform::Transform(std::size_t degree, std::uint64_t prime, Path path)
    : modulus_(modulus_for(degree, prime)),
      loops_(&residue_loops_of(degree < kLeastOfVectors ? Path::Portable : path)) {
  const std::uint64_t root = least_root(degree);
  fill(forward_, root, degree);
  fill(inverse_, modulus_.power(root, 2 * degree - 1), degree);
  const std::uint64_t half = (prime + 1) / 2;
  const std::uint64_t inverse_degree =
      modulus_.power(half, static_cast<unsigned>(std::countr_zero(degree)));
  scale_ = modulus_.factor(inverse_degree);
  last_scale_ = modulus_.factor(modulus_.multiply(inverse_degree, inverse_.roots[1]));
}

std::uint64_t Transform::least_root(std::size_t degree) const {
  const std::uint64_t prime = modulus_.value();
  for (std::uint64_t base = 2; base < kMostTried && base < prime; ++base) {
    std::uint64_t root = modulus_.power(base, (prime - 1) / (2 * degree));
    if (modulus_.power(root, degree) != prime - 1) continue;
    const std::uint64_t square = modulus_.multiply(root, root);
    std::uint64_t least = root;
    for (std::size_t k = 1; k < degree; ++k) {
      root = modulus_.multiply(root, square);
      least = std::min(least, root);
    }
    return least;
  }
  throw UsageError(std::to_string(prime) + " has no root of unity: is it a prime?");
}

void Transform::fill(Powers& powers, std::uint64_t root, std::size_t degree) const {
  powers.roots.resize(degree);
  powers.quotients.resize(degree);
  std::uint64_t value = 1;
  for (std::size_t k = 0; k < degree; ++k) {
    const std::size_t place = reversed_bits(k, degree);
    powers.roots[place] = value;
    powers.quotients[place] = modulus_.factor(value).quotient;
    value = modulus_.multiply(value, root);
  }
}

TransformView Transform::view(const Powers& powers) const {
  return {degree(), prime(), powers.roots.data(), powers.quotients.data(), scale_, last_scale_};
}

}  // namespace capc::gc
