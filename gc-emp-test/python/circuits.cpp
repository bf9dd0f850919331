// Circuits as Python sees them: the builders, their counts, and the plain evaluation.

#include "circuits.hpp"

#include "binding.hpp"
#include "bristol.hpp"
#include "layer_circuits.hpp"
#include "smooth_circuits.hpp"

namespace capc::gc {
namespace {

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
      const PlainOutputs out =
          evaluate_plain(circuit, a.subspan(i * circuit.online_words(), circuit.online_words()),
                         f.subspan(i * circuit.fixed_words(), circuit.fixed_words()),
                         b.subspan(i * circuit.evaluator_words(), circuit.evaluator_words()));
      to_evaluator.insert(to_evaluator.end(), out.evaluator.begin(), out.evaluator.end());
      to_garbler.insert(to_garbler.end(), out.garbler.begin(), out.garbler.end());
    }
  }
  return {array_of(std::move(to_evaluator), circuit.evaluator_out_words()),
          array_of(std::move(to_garbler), circuit.garbler_out_words())};
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
      .def(
          "__init__",
          [](PiecewiseLinear* self, std::size_t reach, std::size_t slope_bits,
             std::vector<std::int64_t> slopes, std::vector<std::int64_t> bases, std::int64_t below,
             std::optional<std::int64_t> above) {
            new (self) PiecewiseLinear{reach, slope_bits, std::move(slopes), std::move(bases),
                                       below, above};
          },
          nb::arg("reach"), nb::arg("slope_bits"), nb::arg("slopes"), nb::arg("bases"),
          nb::arg("below"), nb::arg("above").none());
  m.def("narrow_square_circuit",
        [=](std::size_t bits, std::size_t shift, std::size_t drop, std::size_t value_bits) {
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

}  // namespace

void bind_circuits(nb::module_& m) {
  nb::class_<CompiledCircuit>(m, "Circuit")
      .def_prop_ro("and_count", [](const CompiledCircuit& c) { return c.circuit.and_count(); })
      .def_prop_ro("and_depth", [](const CompiledCircuit& c) { return c.circuit.and_depth(); })
      .def_prop_ro("term_count", [](const CompiledCircuit& c) { return c.circuit.term_count(); })
      .def_prop_ro("gate_count", [](const CompiledCircuit& c) { return c.circuit.gates().size(); })
      .def_prop_ro("online_words",
                   [](const CompiledCircuit& c) { return c.circuit.online_words(); })
      .def_prop_ro("fixed_words", [](const CompiledCircuit& c) { return c.circuit.fixed_words(); })
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
  m.def("relu_circuit",
        [=](std::size_t bits, std::size_t shift) { return compiled(relu_circuit(bits, shift)); });
  m.def("truncate_circuit", [=](std::size_t bits, std::size_t shift) {
    return compiled(truncate_circuit(bits, shift));
  });
  m.def("argmax_circuit",
        [=](std::size_t bits, std::size_t classes, std::size_t vote_bits, std::size_t vote_shift) {
          return compiled(argmax_circuit(bits, classes, vote_bits, vote_shift));
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
  m.def("step_circuit", [=](std::size_t bits, std::size_t output_bits, std::size_t place) {
    return compiled(step_circuit(bits, output_bits, place));
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

}  // namespace capc::gc
