// Both ends of a session of look-ups as Python sees them.

#include "binding.hpp"
#include "chooser.hpp"
#include "holder.hpp"

namespace capc::gc {
namespace {

void bind_plan(nb::module_& m) {
  nb::class_<ReluPlan>(m, "ReluPlan")
      .def(nb::init<std::size_t, std::size_t>())
      .def_prop_ro("step_count", [](const ReluPlan& p) { return p.steps().size(); })
      .def_prop_ro("lookups", &ReluPlan::lookups)
      .def_prop_ro("transfers", &ReluPlan::transfers)
      .def_static("chunk_count", &ReluPlan::chunk_count)
      .def("correlate_bytes", &ReluPlan::correlate_bytes)
      .def("back_bytes", &ReluPlan::back_bytes)
      .def("choose_bytes", &ReluPlan::choose_bytes)
      .def("table_bytes", &ReluPlan::table_bytes)
      .def("offline_bytes", &ReluPlan::offline_bytes)
      .def("online_bytes", &ReluPlan::online_bytes);
}

void bind_holder(nb::module_& m) {
  nb::class_<HolderBatch>(m, "HolderBatch")
      .def_prop_ro("instances", &HolderBatch::instances)
      .def("correct",
           [](HolderBatch& b) {
             return message(b.plan().back_bytes(b.instances()), [&](Bytes out) { b.correct(out); });
           })
      .def("take_correlations",
           [](HolderBatch& b, nb::handle correlations) {
             const Buffer in(correlations);
             released([&] { b.take_correlations(in.bytes()); });
           })
      .def("begin",
           [](HolderBatch& b, const WordsIn& shares) {
             const auto view = words(shares, b.instances(), 1, "shares");
             released([&] { b.begin(view); });
           })
      .def("answer", [](HolderBatch& b, nb::handle choose) {
        const Buffer in(choose);
        if (b.steps_done() == b.plan().steps().size()) throw StateError("the batch is over");
        return message(b.plan().table_bytes(b.instances(), b.steps_done()),
                       [&](Bytes out) { b.answer(in.bytes(), out); });
      });
  nb::class_<HolderSession>(m, "HolderSession")
      .def(nb::init<>())
      .def("setup_choose",
           [](HolderSession& s, nb::handle offer) {
             const Buffer in(offer);
             return message(kLookupChoiceBytes,
                            [&](Bytes out) { s.setup_choose(in.bytes(), out); });
           })
      .def("setup_finish",
           [](HolderSession& s, nb::handle answer) {
             const Buffer in(answer);
             return message(kLookupTreesBytes, [&](Bytes out) { s.setup_finish(in.bytes(), out); });
           })
      .def("prepare", [](HolderSession& s, const ReluPlan& plan, const WordsIn& masks) {
        const auto view = words(masks, masks.shape(0), 1, "masks");
        return released([&] { return s.prepare(plan, view); });
      });
}

void bind_chooser(nb::module_& m) {
  nb::class_<ChooserBatch>(m, "ChooserBatch")
      .def_prop_ro("instances", &ChooserBatch::instances)
      .def("take_back",
           [](ChooserBatch& b, nb::handle back) {
             const Buffer in(back);
             released([&] { b.take_back(in.bytes()); });
           })
      .def("correlate",
           [](ChooserBatch& b) {
             if (b.chunks_done() == ReluPlan::chunk_count(b.instances())) {
               throw StateError("the batch is prepared");
             }
             return message(b.plan().correlate_bytes(b.instances(), b.chunks_done()),
                            [&](Bytes out) { b.correlate(out); });
           })
      .def("begin",
           [](ChooserBatch& b, const WordsIn& shares) {
             const auto view = words(shares, b.instances(), 1, "shares");
             released([&] { b.begin(view); });
           })
      .def("choose",
           [](ChooserBatch& b) {
             if (b.steps_done() == b.plan().steps().size()) throw StateError("the batch is over");
             return message(b.plan().choose_bytes(b.instances(), b.steps_done()),
                            [&](Bytes out) { b.choose(out); });
           })
      .def("take_table",
           [](ChooserBatch& b, nb::handle table) {
             const Buffer in(table);
             released([&] { b.take_table(in.bytes()); });
           })
      .def("outputs", [](const ChooserBatch& b) {
        const auto out = b.outputs();
        return array_of({out.begin(), out.end()}, 1);
      });
  nb::class_<ChooserSession>(m, "ChooserSession")
      .def(nb::init<>())
      .def("setup_offer",
           [](ChooserSession& s) {
             return message(kLookupOfferBytes, [&](Bytes out) { s.setup_offer(out); });
           })
      .def("setup_answer",
           [](ChooserSession& s, nb::handle choice) {
             const Buffer in(choice);
             return message(kLookupAnswerBytes,
                            [&](Bytes out) { s.setup_answer(in.bytes(), out); });
           })
      .def("setup_finish",
           [](ChooserSession& s, nb::handle trees) {
             const Buffer in(trees);
             released([&] { s.setup_finish(in.bytes()); });
           })
      .def("prepare", [](ChooserSession& s, const ReluPlan& plan, std::size_t instances) {
        return released([&] { return s.prepare(plan, instances); });
      });
}

}  // namespace

void bind_lookups(nb::module_& m) {
  bind_plan(m);
  bind_holder(m);
  bind_chooser(m);
  m.attr("MAX_LOOKUP_INSTANCES") = kMaxLookupInstances;
  m.attr("LOOKUP_OFFER_BYTES") = kLookupOfferBytes;
  m.attr("LOOKUP_CHOICE_BYTES") = kLookupChoiceBytes;
  m.attr("LOOKUP_ANSWER_BYTES") = kLookupAnswerBytes;
  m.attr("LOOKUP_TREES_BYTES") = kLookupTreesBytes;
}

}  // namespace capc::gc
