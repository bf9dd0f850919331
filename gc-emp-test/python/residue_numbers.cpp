// Integers, residues and their bytes as Python sees them.

#include "residue_numbers.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "arrays.hpp"
#include "packed_residues.hpp"
#include "uniform_residues.hpp"

namespace capc::gc {
namespace {

using RowsIn = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
/// Rows that may lie apart, as those of a slice.
using ApartIn = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::device::cpu>;
using Polynomials = nb::ndarray<std::uint64_t, nb::ndim<3>, nb::device::cpu>;
using SmallIn = nb::ndarray<const std::int8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Primes = std::vector<std::uint64_t>;

void require(bool fits, const char* what) {
  if (!fits) throw UsageError(what);
}

[[nodiscard]] std::vector<PrimeModulus> moduli_of(const Primes& primes) {
  return {primes.begin(), primes.end()};
}

[[nodiscard]] ArrayOut<std::uint64_t, 2> combine_values(
    const RowsIn& values, const std::vector<std::vector<std::uint64_t>>& factors,
    const std::vector<std::uint64_t>& offsets, const Primes& primes) {
  const std::vector<PrimeModulus> moduli = moduli_of(primes);
  const std::size_t count = values.shape(1);
  require(factors.size() == primes.size() && offsets.size() == primes.size() &&
              values.shape(0) <= kMaxCombined,
          "there are factors and an offset for each prime, and up to seven values");
  for (std::size_t p = 0; p < primes.size(); ++p) {
    require(factors[p].size() == values.shape(0) && offsets[p] < primes[p],
            "there is a factor for each value, and offsets are below their primes");
    for (const std::uint64_t factor : factors[p]) {
      require(factor < primes[p], "factors are below their primes");
    }
  }
  return filled_array<std::uint64_t, 2>({primes.size(), count}, [&](std::uint64_t* out) {
    for (std::size_t p = 0; p < primes.size(); ++p) {
      combine(moduli[p], factors[p], offsets[p], values.data(), {out + p * count, count});
    }
  });
}

[[nodiscard]] ArrayOut<std::int64_t, 1> rounded(const RowsIn& values,
                                                const std::vector<std::uint64_t>& factors,
                                                unsigned ring_bits, const Primes& primes) {
  const std::vector<PrimeModulus> moduli = moduli_of(primes);
  require(values.shape(0) == primes.size() && factors.size() == primes.size(),
          "there is a factor and a row of residues for each prime");
  require(ring_bits > 0 && ring_bits < 64, "a ring has 1 to 63 bits");
  const std::size_t count = values.shape(1);
  return filled_array<std::int64_t, 1>({count}, [&](std::int64_t* out) {
    rounded_quotients(moduli, factors, ring_bits, values.data(),
                      {reinterpret_cast<std::uint64_t*>(out), count});
  });
}

void add_small_numbers(const Polynomials& values, const SmallIn& small, const Primes& primes) {
  const std::vector<PrimeModulus> moduli = moduli_of(primes);
  const std::size_t size = small.shape(1);
  require(values.shape(0) == small.shape(0) && values.shape(1) == primes.size() &&
              values.shape(2) == size,
          "there is a small number for each coefficient");
  require(size < 2 || values.stride(2) == 1, "a polynomial must lie in one piece");
  released([&] {
    for (std::size_t k = 0; k < small.shape(0); ++k) {
      for (std::size_t p = 0; p < primes.size(); ++p) {
        std::uint64_t* row = values.data() + static_cast<std::ptrdiff_t>(k) * values.stride(0) +
                             static_cast<std::ptrdiff_t>(p) * values.stride(1);
        add_small(moduli[p], {small.data() + k * size, size}, row);
      }
    }
  });
}

[[nodiscard]] ArrayOut<std::int8_t, 1> binomial_numbers(nb::handle random, unsigned coins) {
  const Buffer buffer(random);
  require(coins <= 32 && buffer.bytes().size() % sizeof(std::uint64_t) == 0,
          "of each word of eight random bytes, up to 32 bits twice are coins");
  const std::size_t count = buffer.bytes().size() / sizeof(std::uint64_t);
  return filled_array<std::int8_t, 1>({count}, [&](std::int8_t* out) {
    constexpr std::size_t kAtOnce = 256;
    std::array<std::uint64_t, kAtOnce> words{};  // the bytes may lie anywhere
    for (std::size_t first = 0; first < count; first += kAtOnce) {
      const std::size_t size = std::min(kAtOnce, count - first);
      std::memcpy(words.data(), buffer.bytes().data() + first * sizeof(std::uint64_t),
                  size * sizeof(std::uint64_t));
      binomial({words.data(), size}, coins, out + first);
    }
  });
}

[[nodiscard]] nb::bytes pack_residues(const ApartIn& values, const Primes& primes) {
  const std::size_t count = values.shape(1);
  require(values.shape(0) == primes.size(), "there is a row of residues for each prime");
  require(count < 2 || values.stride(1) == 1, "a row must lie in one piece");
  std::size_t size = 0;
  for (const std::uint64_t prime : primes) size += packed_bytes(prime, count);
  return message(size, [&](Bytes out) {
    std::size_t at = 0;
    for (std::size_t p = 0; p < primes.size(); ++p) {
      const std::uint64_t* row = values.data() + static_cast<std::ptrdiff_t>(p) * values.stride(0);
      pack(primes[p], {row, count}, out.data() + at);
      at += packed_bytes(primes[p], count);
    }
  });
}

[[nodiscard]] ArrayOut<std::uint64_t, 2> unpack_residues(nb::handle data, const Primes& primes,
                                                         std::size_t count) {
  const Buffer buffer(data);
  std::size_t size = 0;
  for (const std::uint64_t prime : primes) size += packed_bytes(prime, count);
  require(buffer.bytes().size() == size, "packed residues are of another length");
  bool right = true;
  auto values = filled_array<std::uint64_t, 2>({primes.size(), count}, [&](std::uint64_t* out) {
    const std::uint8_t* at = buffer.bytes().data();
    for (const std::uint64_t prime : primes) {
      right &= unpack(prime, at, {out, count});
      at += packed_bytes(prime, count);
      out += count;
    }
  });
  if (!right) throw ProtocolError("the peer sent a coefficient that is not below its prime");
  return values;
}

[[nodiscard]] ArrayOut<std::uint64_t, 3> expanded(nb::handle seed, const Primes& primes,
                                                  std::size_t count, std::size_t degree) {
  const Buffer buffer(seed);
  ResidueSeed key{};
  require(buffer.bytes().size() == key.size(), "a seed has 32 bytes");
  static_cast<void>(moduli_of(primes));  // refuses what is none
  std::copy_n(buffer.bytes().data(), key.size(), key.data());
  return filled_array<std::uint64_t, 3>({count, primes.size(), degree}, [&](std::uint64_t* out) {
    expand_residues(key, primes, count, degree, out);
  });
}

}  // namespace

void bind_residue_numbers(nb::module_& m) {
  m.def("combine", combine_values, nb::arg("values").noconvert(), nb::arg("factors"),
        nb::arg("offsets"), nb::arg("primes"));
  m.def("rounded_quotients", rounded, nb::arg("values").noconvert(), nb::arg("factors"),
        nb::arg("ring_bits"), nb::arg("primes"));
  m.def("add_small", add_small_numbers, nb::arg("values").noconvert(), nb::arg("small").noconvert(),
        nb::arg("primes"));
  m.def("binomial", binomial_numbers, nb::arg("random"), nb::arg("coins"));
  m.def("pack_residues", pack_residues, nb::arg("values").noconvert(), nb::arg("primes"));
  m.def("unpack_residues", unpack_residues, nb::arg("data"), nb::arg("primes"), nb::arg("count"));
  m.def("expand_residues", expanded, nb::arg("seed"), nb::arg("primes"), nb::arg("count"),
        nb::arg("degree"));
}

}  // namespace capc::gc
