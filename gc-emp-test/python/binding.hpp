#pragma once

// What the Python face's files share: messages are bytes, words are int64 arrays. Every call that
// computes releases Python's lock.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>
#include <vector>

#include "errors.hpp"
#include "layout.hpp"
#include "wire_format.hpp"

namespace capc::gc {

namespace nb = nanobind;

using WordsIn = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using WordsOut = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<2>>;

/// A read-only view of any bytes-like object.
class Buffer {
 public:
  explicit Buffer(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
  }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  [[nodiscard]] ConstBytes bytes() const {
    return {static_cast<const std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

/// A message of `size` bytes, filled by `fill` with Python's lock released.
template <class Fill>
[[nodiscard]] nb::bytes message(std::size_t size, Fill fill) {
  PyObject* object = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (object == nullptr) throw nb::python_error();
  nb::bytes result = nb::steal<nb::bytes>(object);
  const Bytes out(reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(object)), size);
  const nb::gil_scoped_release release;
  fill(out);
  return result;
}

[[nodiscard]] inline std::span<const Word> words(const WordsIn& array, std::size_t instances,
                                                 std::size_t columns, const char* name) {
  if (array.shape(0) != instances || array.shape(1) != columns) {
    throw UsageError(std::string(name) + " has shape (" + std::to_string(array.shape(0)) + ", " +
                     std::to_string(array.shape(1)) + "); the circuit needs (" +
                     std::to_string(instances) + ", " + std::to_string(columns) + ")");
  }
  return {reinterpret_cast<const Word*>(array.data()), array.size()};
}

[[nodiscard]] inline WordsOut array_of(std::vector<Word> values, std::size_t columns) {
  auto owned = std::make_unique<std::vector<Word>>(std::move(values));
  const std::size_t rows = columns == 0 ? 0 : owned->size() / columns;
  auto* data = reinterpret_cast<std::int64_t*>(owned->data());
  nb::capsule owner(owned.get(),
                    [](void* p) noexcept { delete static_cast<std::vector<Word>*>(p); });
  static_cast<void>(owned.release());  // the capsule has it now
  return WordsOut(data, {rows, columns}, owner);
}

template <class Make>
[[nodiscard]] auto released(Make make) {
  const nb::gil_scoped_release release;
  return make();
}

void bind_circuits(nb::module_& m);
void bind_sessions(nb::module_& m);
void bind_lookups(nb::module_& m);
void bind_residues(nb::module_& m);
void bind_residue_numbers(nb::module_& m);
void bind_transforms(nb::module_& m);
void bind_merging(nb::module_& m);

}  // namespace capc::gc
