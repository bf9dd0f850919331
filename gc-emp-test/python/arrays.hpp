#pragma once

// Arrays of NumPy's in and out, beside the words of a session (binding.hpp).

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <string>

#include "binding.hpp"

namespace capc::gc {

template <class Element, std::size_t axes>
using ArrayOut = nb::ndarray<nb::numpy, Element, nb::ndim<axes>>;

/// UsageError, which names the array, unless the axis has so many entries.
template <class Array>
void require_size(const Array& array, std::size_t axis, std::size_t size, const std::string& name) {
  if (array.shape(axis) != size) {
    throw UsageError("axis " + std::to_string(axis) + " of " + name + " has " +
                     std::to_string(array.shape(axis)) + " entries, not " + std::to_string(size));
  }
}

/// A new array in one piece, filled by `fill` with Python's lock released.
template <class Element, std::size_t axes, class Fill>
[[nodiscard]] ArrayOut<Element, axes> filled_array(const std::array<std::size_t, axes>& shape,
                                                   Fill fill) {
  const std::size_t size =
      std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  auto owned = std::make_unique_for_overwrite<Element[]>(size);
  released([&] { fill(owned.get()); });
  Element* data = owned.get();
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<Element*>(p); });
  static_cast<void>(owned.release());  // the capsule has it now
  return {data, axes, shape.data(), owner};
}

}  // namespace capc::gc
