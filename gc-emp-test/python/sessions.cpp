// Both ends of a session as Python sees them.

#include "binding.hpp"
#include "evaluator.hpp"
#include "garbler.hpp"

namespace capc::gc {
namespace {

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

void bind_garbler(nb::module_& m) {
  nb::class_<GarblerBatch>(m, "GarblerBatch")
      .def_prop_ro("chunk_count", [](const GarblerBatch& b) { return b.layout().chunk_count(); })
      .def_prop_ro("instances", [](const GarblerBatch& b) { return b.layout().instances(); })
      .def("choice_bytes",
           [](const GarblerBatch& b, std::size_t i) { return b.layout().choice_bytes(i); })
      .def_prop_ro("masked_bytes", [](const GarblerBatch& b) { return b.layout().masked_bytes(); })
      .def_prop_ro("return_bytes", [](const GarblerBatch& b) { return b.layout().return_bytes(); })
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
             return message(b.layout().labels_bytes(chunk), [&](Bytes out) { b.label_chunk(out); });
           })
      .def("decode", [](GarblerBatch& b, nb::handle returned) {
        const Buffer in(returned);
        const std::size_t columns = b.circuit().garbler_out_words();
        std::vector<Word> out(b.layout().instances() * columns);
        released([&] { b.decode(in.bytes(), out); });
        return array_of(std::move(out), columns);
      });

  nb::class_<GarblerSession>(m, "GarblerSession")
      .def(
          "__init__",
          [](GarblerSession* self, const std::string& path) {
            new (self) GarblerSession(path_of(path));
          },
          nb::arg("path") = "")
      .def("setup_choose",
           [](GarblerSession& s, nb::handle offer) {
             const Buffer in(offer);
             return message(kSetupChoiceBytes, [&](Bytes out) { s.setup_choose(in.bytes(), out); });
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
      .def("run", [](GarblerSession& s, std::shared_ptr<CompiledCircuit> c, std::size_t instances,
                     const WordsIn& shares, const WordsIn& fixed) {
        const auto online = words(shares, instances, c->circuit.online_words(), "shares");
        const auto view = words(fixed, instances, c->circuit.fixed_words(), "fixed");
        return released([&] { return s.run(c, instances, online, view); });
      });
}

void bind_evaluator(nb::module_& m) {
  nb::class_<EvaluatorBatch>(m, "EvaluatorBatch")
      .def_prop_ro("chunk_count", [](const EvaluatorBatch& b) { return b.layout().chunk_count(); })
      .def_prop_ro("instances", [](const EvaluatorBatch& b) { return b.layout().instances(); })
      .def("tables_bytes",
           [](const EvaluatorBatch& b, std::size_t i) { return b.layout().tables_bytes(i); })
      .def("labels_bytes",
           [](const EvaluatorBatch& b, std::size_t i) { return b.layout().labels_bytes(i); })
      .def_prop_ro("returns_labels",
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
      .def("return_labels", [](const EvaluatorBatch& b) {
        return message(b.layout().return_bytes(), [&](Bytes out) { b.return_labels(out); });
      });

  nb::class_<EvaluatorSession>(m, "EvaluatorSession")
      .def(
          "__init__",
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
             return message(kSetupTreesBytes, [&](Bytes out) { s.setup_answer(in.bytes(), out); });
           })
      .def("prepare",
           [](EvaluatorSession& s, std::shared_ptr<CompiledCircuit> c, std::size_t instances) {
             return released([&] { return s.prepare(c, instances); });
           })
      .def("run", [](EvaluatorSession& s, std::shared_ptr<CompiledCircuit> c, std::size_t instances,
                     const WordsIn& shares) {
        const auto view = words(shares, instances, c->circuit.evaluator_words(), "shares");
        return released([&] { return s.run(c, instances, view); });
      });
}

}  // namespace

void bind_sessions(nb::module_& m) {
  bind_garbler(m);
  bind_evaluator(m);
  m.def("supported_paths", supported_paths);
  m.def("best_path", [] { return std::string(path_name(best_path())); });
  m.attr("SETUP_OFFER_BYTES") = kSetupOfferBytes;
  m.attr("SETUP_CHOICE_BYTES") = kSetupChoiceBytes;
  m.attr("SETUP_TREES_BYTES") = kSetupTreesBytes;
}

}  // namespace capc::gc
