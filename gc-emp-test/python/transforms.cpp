// Transforms of polynomials as Python sees them: NumPy arrays in and out.

#include "transforms.hpp"

#include <algorithm>
#include <string>

#include "arrays.hpp"

namespace capc::gc {
namespace {

using PolynomialsIn = nb::ndarray<const std::uint64_t, nb::ndim<3>, nb::device::cpu>;
using PolynomialsOut = ArrayOut<std::uint64_t, 3>;

/// A transform for each prime.
class Transforms {
 public:
  Transforms(std::size_t degree, const std::vector<std::uint64_t>& primes) : degree_(degree) {
    for (const std::uint64_t prime : primes) transforms_.emplace_back(degree, prime);
  }

  [[nodiscard]] PolynomialsOut forward(const PolynomialsIn& polynomials) const {
    return transformed(polynomials, &Transform::forward);
  }

  [[nodiscard]] PolynomialsOut inverse(const PolynomialsIn& polynomials) const {
    return transformed(polynomials, &Transform::inverse);
  }

 private:
  [[nodiscard]] PolynomialsOut transformed(const PolynomialsIn& polynomials,
                                           void (Transform::*direction)(std::uint64_t*)
                                               const) const {
    if (polynomials.shape(1) != transforms_.size() || polynomials.shape(2) != degree_) {
      throw UsageError("polynomials have shape (., " + std::to_string(polynomials.shape(1)) + ", " +
                       std::to_string(polynomials.shape(2)) + "), not (., " +
                       std::to_string(transforms_.size()) + ", " + std::to_string(degree_) + ")");
    }
    if (polynomials.stride(2) != 1) throw UsageError("a polynomial must lie in one piece");
    const std::size_t count = polynomials.shape(0);
    return filled_array<std::uint64_t, 3>(
        {count, transforms_.size(), degree_}, [&](std::uint64_t* to) {
          for (std::size_t k = 0; k < count; ++k) {
            const std::uint64_t* row =
                polynomials.data() + static_cast<std::ptrdiff_t>(k) * polynomials.stride(0);
            for (const Transform& transform : transforms_) {
              std::copy_n(row, degree_, to);
              (transform.*direction)(to);
              row += polynomials.stride(1);
              to += degree_;
            }
          }
        });
  }

  std::size_t degree_;
  std::vector<Transform> transforms_;
};

}  // namespace

void bind_transforms(nb::module_& m) {
  nb::class_<Transforms>(m, "Transforms")
      .def(nb::init<std::size_t, const std::vector<std::uint64_t>&>(), nb::arg("degree"),
           nb::arg("primes"))
      .def("forward", &Transforms::forward, nb::arg("polynomials").noconvert())
      .def("inverse", &Transforms::inverse, nb::arg("polynomials").noconvert());
}

}  // namespace capc::gc
