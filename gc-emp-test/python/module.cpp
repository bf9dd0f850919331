// The Python face of the engine: messages are bytes, words are int64 arrays. Every call that
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

#include "bristol.hpp"
#include "circuits.hpp"
#include "evaluator.hpp"
#include "garbler.hpp"
#include "layer_circuits.hpp"
#include "smooth_circuits.hpp"

namespace nb = nanobind;
using namespace capc::gc;

namespace {

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

[[nodiscard]] std::span<const Word> words(const WordsIn& array, std::size_t instances,
                                          std::size_t columns, const char* name) {
  if (array.shape(0) != instances || array.shape(1) != columns) {
    throw UsageError(std::string(name) + " has shape (" + std::to_string(array.shape(0)) + ", " +
                     std::to_string(array.shape(1)) + "); the circuit needs (" +
                     std::to_string(instances) + ", " + std::to_string(columns) + ")");
  }
  return {reinterpret_cast<const Word*>(array.data()), array.size()};
}

[[nodiscard]] WordsOut array_of(std::vector<Word> values, std::size_t columns) {
  auto owned = std::make_unique<std::vector<Word>>(std::move(values));
  const std::size_t rows = columns == 0 ? 0 : owned->size() / columns;
  auto* data = reinterpret_cast<std::int64_t*>(owned->data());
  nb::capsule owner(owned.get(),
                    [](void* p) noexcept { delete static_cast<std::vector<Word>*>(p); });
  owned.release();
  return WordsOut(data, {rows, columns}, owner);
}

[[nodiscard]] Path path_of(const std::string& name) {
  if (name.empty()) return best_path();
  for (const Path path : {Path::Portable, Path::AesNi, Path::Vaes}) {
    if (name == path_name(path)) return path;
  }
  throw UsageError("the path is '" + name + "'; allowed are portable, aes-ni, vaes");
}

[[nodiscard]] std::vector<std::string> supported_paths() {
  std::vector<std::string> names;
  for (const Path path : {Path::Portable, Path::AesNi, Path::Vaes}) {
    if (is_supported(path)) names.emplace_back(path_name(path));
  }
  return names;
}

std::pair<WordsOut, WordsOut> evaluate_plain_many(const CompiledCircuit& compiled,
                                                  const WordsIn& online, const WordsIn& fixed,
                                                  const WordsIn& evaluator) {
  const Circuit& circuit = compiled.circuit;
  const std::size_t n = evaluator.shape(0);
  const auto a = words(online, n, circuit.online_words(), "online");
  const auto f = words(fixed, n, circuit.fixed_words(), "fixed");
  const auto b = words(evaluator, n, circuit.evaluator_words(), "evaluator");
  std::vector<Word> to_evaluator;
  std::vector<Word> to_garbler;
  {
    const nb::gil_scoped_release release;
    for (std::size_t i = 0; i < n; ++i) {
      const PlainOutputs out = evaluate_plain(
          circuit, a.subspan(i * circuit.online_words(), circuit.online_words()),
          f.subspan(i * circuit.fixed_words(), circuit.fixed_words()),
          b.subspan(i * circuit.evaluator_words(), circuit.evaluator_words()));
      to_evaluator.insert(to_evaluator.end(), out.evaluator.begin(), out.evaluator.end());
      to_garbler.insert(to_garbler.end(), out.garbler.begin(), out.garbler.end());
    }
  }
  return {array_of(std::move(to_evaluator), circuit.evaluator_out_words()),
          array_of(std::move(to_garbler), circuit.garbler_out_words())};
}

template <class Make>
[[nodiscard]] auto released(Make make) {
  const nb::gil_scoped_release release;
  return make();
}

[[nodiscard]] InputKind owner_named(const std::string& name) {
  if (name == "evaluator") return InputKind::Evaluator;
  if (name == "garbler") return InputKind::GarblerOnline;
  if (name == "garbler-fixed") return InputKind::GarblerFixed;
  throw UsageError("the owner is '" + name + "'; allowed are evaluator, garbler, garbler-fixed");
}

void bind_smooth_circuits(nb::module_& m) {
  const auto compiled = [](Circuit circuit) {
    return std::make_shared<CompiledCircuit>(std::move(circuit));
  };
  nb::class_<PiecewiseLinear>(m, "PiecewiseLinear")
      .def("__init__",
           [](PiecewiseLinear* self, std::size_t reach, std::size_t slope_bits,
              std::vector<std::int64_t> slopes, std::vector<std::int64_t> bases,
              std::int64_t below, std::optional<std::int64_t> above) {
             new (self) PiecewiseLinear{reach,           slope_bits, std::move(slopes),
                                        std::move(bases), below,      above};
           },
           nb::arg("reach"), nb::arg("slope_bits"), nb::arg("slopes"), nb::arg("bases"),
           nb::arg("below"), nb::arg("above").none());
  m.def("narrow_square_circuit", [=](std::size_t bits, std::size_t shift, std::size_t drop,
                                     std::size_t value_bits) {
    return compiled(narrow_square_circuit(bits, shift, drop, value_bits));
  });
  m.def("piecewise_linear_circuit",
        [=](std::size_t bits, std::size_t shift, const PiecewiseLinear& function) {
          return compiled(piecewise_linear_circuit(bits, shift, function));
        });
  m.def("from_bristol", [=](const std::string& text, const std::vector<std::string>& owners) {
    std::vector<InputKind> kinds;
    for (const std::string& name : owners) kinds.push_back(owner_named(name));
    return compiled(from_bristol(text, kinds, OutputKind::Evaluator));
  });
  m.def("narrow_square_and_count", narrow_square_and_count);
  m.def("piecewise_linear_and_count", piecewise_linear_and_count);
}

void bind_circuit(nb::module_& m) {
  nb::class_<CompiledCircuit>(m, "Circuit")
      .def_prop_ro("and_count", [](const CompiledCircuit& c) { return c.circuit.and_count(); })
      .def_prop_ro("and_depth", [](const CompiledCircuit& c) { return c.circuit.and_depth(); })
      .def_prop_ro("term_count", [](const CompiledCircuit& c) { return c.circuit.term_count(); })
      .def_prop_ro("gate_count",
                   [](const CompiledCircuit& c) { return c.circuit.gates().size(); })
      .def_prop_ro("online_words",
                   [](const CompiledCircuit& c) { return c.circuit.online_words(); })
      .def_prop_ro("fixed_words",
                   [](const CompiledCircuit& c) { return c.circuit.fixed_words(); })
      .def_prop_ro("evaluator_words",
                   [](const CompiledCircuit& c) { return c.circuit.evaluator_words(); })
      .def_prop_ro("evaluator_out_words",
                   [](const CompiledCircuit& c) { return c.circuit.evaluator_out_words(); })
      .def_prop_ro("garbler_out_words",
                   [](const CompiledCircuit& c) { return c.circuit.garbler_out_words(); })
      .def_prop_ro("has_offline_phase",
                   [](const CompiledCircuit& c) { return c.circuit.has_offline_phase(); })
      .def_prop_ro("digest", [](const CompiledCircuit& c) { return c.circuit.digest(); })
      .def("lowered",
           [](const CompiledCircuit& c) {
             return std::make_shared<CompiledCircuit>(lower_shared_outputs(c.circuit));
           })
      .def("to_bristol",
           [](const CompiledCircuit& c) {
             const nb::gil_scoped_release release;
             return to_bristol(c.circuit);
           })
      .def("offline_bytes",
           [](const CompiledCircuit& c, std::size_t instances) {
             const BatchLayout layout(c, instances);
             std::size_t down = 0;
             std::size_t up = 0;
             for (std::size_t i = 0; i < layout.chunk_count(); ++i) {
               down += layout.tables_bytes(i);
               up += layout.choice_bytes(i);
             }
             return std::pair(down, up);
           })
      .def("online_bytes",
           [](const CompiledCircuit& c, std::size_t instances) {
             const BatchLayout layout(c, instances);
             return std::pair(layout.labels_bytes(), layout.masked_bytes());
           })
      .def("evaluate_plain", evaluate_plain_many);

  const auto compiled = [](Circuit circuit) {
    return std::make_shared<CompiledCircuit>(std::move(circuit));
  };
  m.def("relu_circuit", [=](std::size_t bits, std::size_t shift) {
    return compiled(relu_circuit(bits, shift));
  });
  m.def("truncate_circuit", [=](std::size_t bits, std::size_t shift) {
    return compiled(truncate_circuit(bits, shift));
  });
  m.def("argmax_circuit", [=](std::size_t bits, std::size_t classes, std::size_t vote_bits) {
    return compiled(argmax_circuit(bits, classes, vote_bits));
  });
  m.def("noisy_argmax_circuit", [=](std::size_t bits, std::size_t classes, bool threshold) {
    return compiled(noisy_argmax_circuit(bits, classes, threshold));
  });
  m.def("bounded_relu_circuit", [=](std::size_t bits, std::size_t shift, Word cap) {
    return compiled(bounded_relu_circuit(bits, shift, cap));
  });
  m.def("leaky_relu_circuit",
        [=](std::size_t bits, std::size_t shift, Word slope, std::size_t fraction_bits) {
          return compiled(leaky_relu_circuit(bits, shift, slope, fraction_bits));
        });
  m.def("square_circuit", [=](std::size_t bits, std::size_t shift, std::size_t fraction_bits) {
    return compiled(square_circuit(bits, shift, fraction_bits));
  });
  m.def("maximum_circuit", [=](std::size_t bits, std::size_t window) {
    return compiled(maximum_circuit(bits, window));
  });
  m.def("step_circuit", [=](std::size_t bits, std::size_t vote_bits) {
    return compiled(step_circuit(bits, vote_bits));
  });
  m.def("top_k_circuit",
        [=](std::size_t bits, std::size_t classes, std::size_t k, std::size_t vote_bits) {
          return compiled(top_k_circuit(bits, classes, k, vote_bits));
        });
  bind_smooth_circuits(m);
  m.def("relu_and_count", relu_and_count);
  m.def("truncate_and_count", truncate_and_count);
  m.def("argmax_and_count", argmax_and_count);
  m.def("noisy_argmax_and_count", noisy_argmax_and_count);
}

void bind_garbler(nb::module_& m) {
  nb::class_<GarblerBatch>(m, "GarblerBatch")
      .def_prop_ro("chunk_count",
                   [](const GarblerBatch& b) { return b.layout().chunk_count(); })
      .def_prop_ro("instances", [](const GarblerBatch& b) { return b.layout().instances(); })
      .def("choice_bytes",
           [](const GarblerBatch& b, std::size_t i) { return b.layout().choice_bytes(i); })
      .def_prop_ro("masked_bytes",
                   [](const GarblerBatch& b) { return b.layout().masked_bytes(); })
      .def_prop_ro("return_bytes",
                   [](const GarblerBatch& b) { return b.layout().return_bytes(); })
      .def_prop_ro("has_outputs",
                   [](const GarblerBatch& b) { return b.circuit().garbler_out_words() > 0; })
      .def("garble_chunk",
           [](GarblerBatch& b, nb::handle choice) {
             const Buffer in(choice);
             const std::size_t chunk = b.chunks_done();
             if (chunk == b.layout().chunk_count()) throw StateError("the batch is garbled");
             return message(b.layout().tables_bytes(chunk),
                            [&](Bytes out) { b.garble_chunk(in.bytes(), out); });
           })
      .def("take_masked",
           [](GarblerBatch& b, nb::handle masked, const WordsIn& shares) {
             const Buffer in(masked);
             const auto view =
                 words(shares, b.layout().instances(), b.circuit().online_words(), "shares");
             released([&] { b.take_masked(in.bytes(), view); });
           })
      .def("label_chunk",
           [](GarblerBatch& b) {
             const std::size_t chunk = b.chunks_labelled();
             if (chunk == b.layout().chunk_count()) throw StateError("the batch is labelled");
             return message(b.layout().labels_bytes(chunk),
                            [&](Bytes out) { b.label_chunk(out); });
           })
      .def("decode", [](GarblerBatch& b, nb::handle colours) {
        const Buffer in(colours);
        const std::size_t columns = b.circuit().garbler_out_words();
        std::vector<Word> out(b.layout().instances() * columns);
        released([&] { b.decode(in.bytes(), out); });
        return array_of(std::move(out), columns);
      });

  nb::class_<GarblerSession>(m, "GarblerSession")
      .def("__init__",
           [](GarblerSession* self, const std::string& path) {
             new (self) GarblerSession(path_of(path));
           },
           nb::arg("path") = "")
      .def("setup_choose",
           [](GarblerSession& s, nb::handle offer) {
             const Buffer in(offer);
             return message(kSetupChoiceBytes,
                            [&](Bytes out) { s.setup_choose(in.bytes(), out); });
           })
      .def("setup_keys", [](GarblerSession& s) { released([&] { s.setup_keys(); }); })
      .def("setup_finish",
           [](GarblerSession& s, nb::handle trees) {
             const Buffer in(trees);
             released([&] { s.setup_finish(in.bytes()); });
           })
      .def("prepare",
           [](GarblerSession& s, std::shared_ptr<CompiledCircuit> c, std::size_t instances,
              const WordsIn& fixed) {
             const auto view = words(fixed, instances, c->circuit.fixed_words(), "fixed");
             return released([&] { return s.prepare(c, instances, view); });
           })
      .def("run", [](GarblerSession& s, std::shared_ptr<CompiledCircuit> c,
                     std::size_t instances, const WordsIn& shares, const WordsIn& fixed) {
        const auto online = words(shares, instances, c->circuit.online_words(), "shares");
        const auto view = words(fixed, instances, c->circuit.fixed_words(), "fixed");
        return released([&] { return s.run(c, instances, online, view); });
      });
}

void bind_evaluator(nb::module_& m) {
  nb::class_<EvaluatorBatch>(m, "EvaluatorBatch")
      .def_prop_ro("chunk_count",
                   [](const EvaluatorBatch& b) { return b.layout().chunk_count(); })
      .def_prop_ro("instances", [](const EvaluatorBatch& b) { return b.layout().instances(); })
      .def_prop_ro("window", [](const EvaluatorBatch& b) { return b.window(); })
      .def("tables_bytes",
           [](const EvaluatorBatch& b, std::size_t i) { return b.layout().tables_bytes(i); })
      .def("labels_bytes",
           [](const EvaluatorBatch& b, std::size_t i) { return b.layout().labels_bytes(i); })
      .def_prop_ro("returns_colours",
                   [](const EvaluatorBatch& b) { return b.circuit().garbler_out_words() > 0; })
      .def("choose_chunk",
           [](EvaluatorBatch& b) {
             const std::size_t chunk = b.choices_made();
             if (chunk == b.layout().chunk_count()) throw StateError("the batch is chosen");
             return message(b.layout().choice_bytes(chunk),
                            [&](Bytes out) { b.choose_chunk(out); });
           })
      .def("take_chunk",
           [](EvaluatorBatch& b, nb::handle tables) {
             const Buffer in(tables);
             released([&] { b.take_chunk(in.bytes()); });
           })
      .def("mask_shares",
           [](EvaluatorBatch& b, const WordsIn& shares) {
             const auto view =
                 words(shares, b.layout().instances(), b.circuit().evaluator_words(), "shares");
             return message(b.layout().masked_bytes(),
                            [&](Bytes out) { b.mask_shares(view, out); });
           })
      .def("evaluate_chunk",
           [](EvaluatorBatch& b, nb::handle labels) {
             const Buffer in(labels);
             released([&] { b.evaluate_chunk(in.bytes()); });
           })
      .def("outputs",
           [](const EvaluatorBatch& b) {
             const auto out = b.outputs();
             return array_of({out.begin(), out.end()}, b.circuit().evaluator_out_words());
           })
      .def("return_colours", [](const EvaluatorBatch& b) {
        return message(b.layout().return_bytes(), [&](Bytes out) { b.return_colours(out); });
      });

  nb::class_<EvaluatorSession>(m, "EvaluatorSession")
      .def("__init__",
           [](EvaluatorSession* self, const std::string& path) {
             new (self) EvaluatorSession(path_of(path));
           },
           nb::arg("path") = "")
      .def("setup_offer",
           [](EvaluatorSession& s) {
             return message(kSetupOfferBytes, [&](Bytes out) { s.setup_offer(out); });
           })
      .def("setup_answer",
           [](EvaluatorSession& s, nb::handle choice) {
             const Buffer in(choice);
             return message(kSetupTreesBytes,
                            [&](Bytes out) { s.setup_answer(in.bytes(), out); });
           })
      .def("prepare",
           [](EvaluatorSession& s, std::shared_ptr<CompiledCircuit> c, std::size_t instances) {
             return released([&] { return s.prepare(c, instances); });
           })
      .def("run", [](EvaluatorSession& s, std::shared_ptr<CompiledCircuit> c,
                     std::size_t instances, const WordsIn& shares) {
        const auto view = words(shares, instances, c->circuit.evaluator_words(), "shares");
        return released([&] { return s.run(c, instances, view); });
      });
}

}  // namespace

NB_MODULE(_engine, m) {
  m.doc() = "Garbled circuits: bytes in, bytes out.";
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
  bind_circuit(m);
  bind_garbler(m);
  bind_evaluator(m);
  m.def("supported_paths", supported_paths);
  m.def("best_path", [] { return std::string(path_name(best_path())); });
  m.attr("SETUP_OFFER_BYTES") = kSetupOfferBytes;
  m.attr("SETUP_CHOICE_BYTES") = kSetupChoiceBytes;
  m.attr("SETUP_TREES_BYTES") = kSetupTreesBytes;
}
