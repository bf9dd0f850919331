// Merged replies as Python sees them: NumPy arrays in and out.

#include "merging.hpp"

#include "arrays.hpp"

namespace capc::gc {
namespace {

using SumsIn = nb::ndarray<const std::uint64_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using KeysIn = nb::ndarray<const std::uint64_t, nb::ndim<5>, nb::c_contig, nb::device::cpu>;

[[nodiscard]] ArrayOut<std::uint64_t, 3> merge(const Merging& merging, const SumsIn& sums,
                                               std::size_t merged, const KeysIn& keys) {
  const std::size_t data = merging.data_primes();
  const std::size_t degree = merging.degree();
  const std::array of_sum{std::size_t{2}, data, degree};
  const std::array of_key{data, std::size_t{2}, data + 1, degree};
  for (std::size_t k = 0; k < of_sum.size(); ++k) require_size(sums, k + 1, of_sum[k], "sums");
  for (std::size_t k = 0; k < of_key.size(); ++k) require_size(keys, k + 1, of_key[k], "keys");
  return filled_array<std::uint64_t, 3>({2, data, degree}, [&](std::uint64_t* out) {
    merging.merge({sums.data(), sums.size()}, merged, {keys.data(), keys.size()}, out);
  });
}

}  // namespace

void bind_merging(nb::module_& m) {
  m.attr("MOST_MERGED") = kMostMerged;
  nb::class_<Merging>(m, "Merging")
      .def(nb::init<std::size_t, const std::vector<std::uint64_t>&>(), nb::arg("degree"),
           nb::arg("primes"))
      .def("merge", merge, nb::arg("sums").noconvert(), nb::arg("merged"),
           nb::arg("keys").noconvert());
}

}  // namespace capc::gc
