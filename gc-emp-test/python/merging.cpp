// Merged replies as Python sees them: NumPy arrays in and out.

#include "merging.hpp"

#include <string>

#include "arrays.hpp"

namespace capc::gc {
namespace {

using SumsIn = nb::ndarray<const std::uint64_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using KeysIn = nb::ndarray<const std::uint64_t, nb::ndim<5>, nb::c_contig, nb::device::cpu>;

template <class Array>
void require_shape(const Array& array, const std::vector<std::size_t>& shape, const char* name) {
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (array.shape(axis + 1) != shape[axis]) {
      throw UsageError("axis " + std::to_string(axis + 1) + " of " + name + " has " +
                       std::to_string(array.shape(axis + 1)) + " entries, not " +
                       std::to_string(shape[axis]));
    }
  }
}

[[nodiscard]] ArrayOut<std::uint64_t, 3> merge(const Merging& merging, const SumsIn& sums,
                                               std::size_t merged, const KeysIn& keys) {
  const std::size_t data = merging.data_primes();
  const std::size_t degree = merging.degree();
  require_shape(sums, {2, data, degree}, "sums");
  require_shape(keys, {data, 2, data + 1, degree}, "keys");
  return filled_array<std::uint64_t, 3>({2, data, degree}, [&](std::uint64_t* out) {
    merging.merge({sums.data(), sums.size()}, merged, {keys.data(), keys.size()}, out);
  });
}

}  // namespace

void bind_merging(nb::module_& m) {
  nb::class_<Merging>(m, "Merging")
      .def(
          "__init__",
          [](Merging* self, std::size_t degree, const std::vector<std::uint64_t>& primes) {
            new (self) Merging(degree, primes);
          },
          nb::arg("degree"), nb::arg("primes"))
      .def("merge", merge, nb::arg("sums").noconvert(), nb::arg("merged"),
           nb::arg("keys").noconvert());
}

}  // namespace capc::gc
