// The extension capc.gc._engine: its parts, and its errors as Python's.

#include "binding.hpp"

namespace nb = nanobind;
using namespace capc::gc;

NB_MODULE(_engine, m) {
  m.doc() = "Circuits and transfers, bytes in and bytes out; residues modulo primes.";
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const ProtocolError& error) {
      const nb::object type = nb::module_::import_("capc.errors").attr("ProtocolError");
      PyErr_SetString(type.ptr(), error.what());
    } catch (const UsageError& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const StateError& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
  });
  bind_circuits(m);
  bind_sessions(m);
  bind_lookups(m);
  bind_residues(m);
  bind_residue_numbers(m);
  bind_transforms(m);
  bind_merging(m);
}
