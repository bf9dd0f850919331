// Residue arithmetic as Python sees it: NumPy arrays in and out.

#include "residues.hpp"

#include "arrays.hpp"

namespace capc::gc {
namespace {

using ArrayIn = nb::ndarray<nb::ro, nb::device::cpu>;

/// The elements of an array in one piece, row by row; UsageError on any other.
template <class Element>
[[nodiscard]] std::span<const Element> elements(const ArrayIn& array, std::size_t axes,
                                                const std::string& name) {
  if (array.dtype() != nb::dtype<Element>()) {
    throw UsageError(name + " must be of 64-bit integers, unsigned but for the pairs");
  }
  if (array.ndim() != axes) {
    throw UsageError(name + " has " + std::to_string(array.ndim()) + " axes, not " +
                     std::to_string(axes));
  }
  std::int64_t step = 1;
  for (std::size_t axis = axes; axis-- > 0;) {
    if (array.shape(axis) > 1 && array.stride(axis) != step) {
      throw UsageError(name + " must lie in one piece, row by row");
    }
    step *= static_cast<std::int64_t>(array.shape(axis));
  }
  return {static_cast<const Element*>(array.data()), array.size()};
}

[[nodiscard]] std::size_t below(std::int64_t number, std::size_t count, const char* name) {
  if (number < 0 || static_cast<std::size_t>(number) >= count) {
    throw UsageError("a pair names " + std::string(name) + " " + std::to_string(number) + " of " +
                     std::to_string(count));
  }
  return static_cast<std::size_t>(number);
}

[[nodiscard]] ArrayOut<std::uint64_t, 4> sums_of_products(const ArrayIn& inputs,
                                                          const ArrayIn& weights,
                                                          const ArrayIn& pairs,
                                                          const std::vector<std::uint64_t>& primes,
                                                          const std::optional<ArrayIn>& start) {
  const auto input_words = elements<std::uint64_t>(inputs, 4, "inputs");
  const auto weight_words = elements<std::uint64_t>(weights, 3, "weights");
  const auto numbers = elements<std::int64_t>(pairs, 3, "pairs");
  const std::vector<PrimeModulus> moduli(primes.begin(), primes.end());
  const std::size_t degree = inputs.shape(3);
  require_size(inputs, 2, moduli.size(), "inputs");
  require_size(weights, 1, moduli.size(), "weights");
  require_size(weights, 2, degree, "weights");
  require_size(pairs, 2, 2, "pairs");
  std::vector<PolynomialPair> found(numbers.size() / 2);
  for (std::size_t k = 0; k < found.size(); ++k) {
    found[k] = {below(numbers[2 * k], inputs.shape(0), "input"),
                below(numbers[2 * k + 1], weights.shape(0), "weight polynomial")};
  }
  const std::array shape{pairs.shape(0), inputs.shape(1), moduli.size(), degree};
  std::span<const std::uint64_t> start_words;
  if (start) {
    start_words = elements<std::uint64_t>(*start, 4, "start");
    for (std::size_t axis = 0; axis < 4; ++axis) require_size(*start, axis, shape[axis], "start");
  }
  return filled_array<std::uint64_t, 4>(shape, [&](std::uint64_t* out) {
    add_products({moduli, shape[1], degree, shape[0], pairs.shape(1), found}, input_words.data(),
                 weight_words.data(), start_words, out);
  });
}

}  // namespace

void bind_residues(nb::module_& m) {
  m.def("sums_of_products", sums_of_products, nb::arg("inputs").noconvert(),
        nb::arg("weights").noconvert(), nb::arg("pairs").noconvert(), nb::arg("primes"),
        nb::arg("start").noconvert().none() = nb::none());
}

}  // namespace capc::gc
