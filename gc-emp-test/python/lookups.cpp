// Both ends of a session of look-ups as Python sees them.

#include "binding.hpp"
#include "chooser.hpp"
#include "holder.hpp"
#include "leaky_relu_plan.hpp"
#include "maximum_plan.hpp"
#include "number_plans.hpp"
#include "relu_plan.hpp"
#include "shift_plan.hpp"
#include "square_plan.hpp"

namespace capc::gc {
namespace {

[[nodiscard]] Source source_of(bool from_stock) {
  return from_stock ? Source::Stock : Source::Corrections;
}

[[nodiscard]] TreeShape shape_of(std::size_t depth) {
  if (depth == kShallowTrees.depth) return kShallowTrees;
  if (depth == kDeepTrees.depth) return kDeepTrees;
  throw UsageError("seed trees have a depth of 4 or 8, not " + std::to_string(depth));
}

void bind_plan(nb::module_& m) {
  const auto instances_arg = nb::arg("instances");
  const auto depth_arg = nb::arg("tree_depth") = kShallowTrees.depth;
  nb::class_<LookupPlan>(m, "LookupPlan")
      .def_static("relu", &relu_plan)
      .def_static("bounded_relu", &bounded_relu_plan)
      .def_static("rescale", &rescale_plan)
      .def_static("step", &step_plan)
      .def_static("widened", &widened_plan)
      .def_static("maximum", &maximum_plan)
      .def_static("leaky_relu", &leaky_relu_plan)
      .def_static("shift", &shift_plan)
      .def_static("square", &square_plan)
      .def_prop_ro("inputs", &LookupPlan::inputs)
      .def_prop_ro("ring_bits", &LookupPlan::ring_bits)
      .def_prop_ro("output_bits", &LookupPlan::output_bits)
      .def_prop_ro("step_count", [](const LookupPlan& p) { return p.steps().size(); })
      .def_prop_ro("lookups", [](const LookupPlan& p) { return p.tables().size(); })
      .def_prop_ro("holder_bytes", &HolderBatch::instance_bytes)
      .def_prop_ro("transfers", &LookupPlan::transfers)
      .def_prop_ro("back_transfers", &LookupPlan::back_transfers)
      .def_static("chunk_count", &LookupPlan::chunk_count)
      .def(
          "correlate_bytes",
          [](const LookupPlan& p, std::size_t instances, std::size_t chunk, std::size_t depth) {
            return p.correlate_bytes(instances, chunk, shape_of(depth));
          },
          instances_arg, nb::arg("chunk"), depth_arg)
      .def(
          "back_bytes",
          [](const LookupPlan& p, std::size_t instances, std::size_t depth) {
            return p.back_bytes(instances, shape_of(depth));
          },
          instances_arg, depth_arg)
      .def("choose_bytes", &LookupPlan::choose_bytes)
      .def("table_bytes", &LookupPlan::table_bytes)
      .def(
          "offline_bytes",
          [](const LookupPlan& p, std::size_t instances, std::size_t depth) {
            return p.offline_bytes(instances, shape_of(depth));
          },
          instances_arg, depth_arg)
      .def("online_bytes", &LookupPlan::online_bytes);
}

/// Both ends of a stock, in either direction: how many transfers it has, and its messages' sizes.
template <class Stock>
void bind_stock(nb::class_<Stock>& stock) {
  stock.def_prop_ro("available", [](Stock& s) { return s.transfers().available(); })
      .def_prop_ro("pending", [](Stock& s) { return s.transfers().pending(); })
      .def_prop_ro("is_seeded", [](Stock& s) { return s.transfers().is_seeded(); })
      .def_prop_ro("seed_bytes", &Stock::seed_bytes)
      .def_prop_ro("trees_bytes",
                   [](Stock& s) { return stock_trees_bytes(s.transfers().parameters()); });
}

void bind_stocks(nb::module_& m) {
  nb::class_<StockSender> sender(m, "StockSender");
  bind_stock(sender);
  sender
      .def("take_seeds",
           [](StockSender& s, nb::handle seeds) {
             const Buffer in(seeds);
             released([&] { s.take_seeds(in.bytes()); });
           })
      .def("grow",
           [](StockSender& s) {
             return message(stock_trees_bytes(s.transfers().parameters()),
                            [&](Bytes out) { s.grow(out); });
           })
      .def("prove", [](StockSender& s, nb::handle point) {
        const Buffer in(point);
        return message(kStockProofBytes, [&](Bytes out) { s.prove(in.bytes(), out); });
      });
  nb::class_<StockReceiver> receiver(m, "StockReceiver");
  bind_stock(receiver);
  receiver
      .def("send_seeds",
           [](StockReceiver& s) {
             return message(s.seed_bytes(), [&](Bytes out) { s.send_seeds(out); });
           })
      .def("answer",
           [](StockReceiver& s, nb::handle trees) {
             const Buffer in(trees);
             return message(kStockPointBytes, [&](Bytes out) { s.answer(in.bytes(), out); });
           })
      .def("finish", [](StockReceiver& s, nb::handle proof) {
        const Buffer in(proof);
        released([&] { s.finish(in.bytes()); });
      });
}

/// Made with the depth of the seed trees, on which both ends agree.
template <class Session>
void bind_shape(nb::class_<Session>& session) {
  session
      .def("__init__",
           [](Session* s, std::size_t depth) {
             new (s) Session(best_path(), kSilent, shape_of(depth));
           })
      .def_prop_ro("tree_depth", [](const Session& s) { return s.shape().depth; })
      .def_prop_ro("answer_bytes", [](const Session& s) { return lookup_answer_bytes(s.shape()); })
      .def_prop_ro("trees_bytes", [](const Session& s) { return lookup_trees_bytes(s.shape()); });
}

void bind_holder(nb::module_& m) {
  nb::class_<HolderBatch>(m, "HolderBatch")
      .def_prop_ro("instances", &HolderBatch::instances)
      .def_prop_ro("has_forward", &HolderBatch::has_forward)
      .def_prop_ro("has_back", &HolderBatch::has_back)
      .def("draw", [](HolderBatch& b) { released([&] { b.draw(); }); })
      .def("draw_back", [](HolderBatch& b) { released([&] { b.draw_back(); }); })
      .def("correct",
           [](HolderBatch& b) {
             return message(b.back_bytes(), [&](Bytes out) { b.correct(out); });
           })
      .def("take_correlations",
           [](HolderBatch& b, nb::handle correlations) {
             const Buffer in(correlations);
             released([&] { b.take_correlations(in.bytes()); });
           })
      .def("begin",
           [](HolderBatch& b, const WordsIn& shares) {
             const auto view = words(shares, b.instances(), b.plan().inputs(), "shares");
             released([&] { b.begin(view); });
           })
      .def("answer", [](HolderBatch& b, nb::handle choose) {
        const Buffer in(choose);
        if (b.steps_done() == b.plan().steps().size()) throw StateError("the batch is over");
        return message(b.plan().table_bytes(b.instances(), b.steps_done()),
                       [&](Bytes out) { b.answer(in.bytes(), out); });
      });
  nb::class_<HolderSession> session(m, "HolderSession");
  bind_shape(session);
  session
      .def("setup_choose",
           [](HolderSession& s, nb::handle offer) {
             const Buffer in(offer);
             return message(kLookupChoiceBytes,
                            [&](Bytes out) { s.setup_choose(in.bytes(), out); });
           })
      .def("setup_finish",
           [](HolderSession& s, nb::handle answer) {
             const Buffer in(answer);
             return message(lookup_trees_bytes(s.shape()),
                            [&](Bytes out) { s.setup_finish(in.bytes(), out); });
           })
      .def_prop_ro("stock", &HolderSession::stock, nb::rv_policy::reference_internal)
      .def_prop_ro("stock_back", &HolderSession::stock_back, nb::rv_policy::reference_internal)
      .def("prepare",
           [](HolderSession& s, const LookupPlan& plan, const WordsIn& masks, bool from_stock) {
             const auto view = words(masks, masks.shape(0), 1, "masks");
             return released([&] { return s.prepare(plan, view, source_of(from_stock)); });
           });
}

void bind_chooser(nb::module_& m) {
  nb::class_<ChooserBatch>(m, "ChooserBatch")
      .def_prop_ro("instances", &ChooserBatch::instances)
      .def_prop_ro("has_forward", &ChooserBatch::has_forward)
      .def_prop_ro("has_back", &ChooserBatch::has_back)
      .def("draw", [](ChooserBatch& b) { released([&] { b.draw(); }); })
      .def("draw_back", [](ChooserBatch& b) { released([&] { b.draw_back(); }); })
      .def("take_back",
           [](ChooserBatch& b, nb::handle back) {
             const Buffer in(back);
             released([&] { b.take_back(in.bytes()); });
           })
      .def("correlate",
           [](ChooserBatch& b) {
             if (b.chunks_done() == LookupPlan::chunk_count(b.instances())) {
               throw StateError("the batch is prepared");
             }
             return message(b.correlate_bytes(), [&](Bytes out) { b.correlate(out); });
           })
      .def("begin",
           [](ChooserBatch& b, const WordsIn& shares) {
             const auto view = words(shares, b.instances(), b.plan().inputs(), "shares");
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
  nb::class_<ChooserSession> session(m, "ChooserSession");
  bind_shape(session);
  session
      .def("setup_offer",
           [](ChooserSession& s) {
             return message(kLookupOfferBytes, [&](Bytes out) { s.setup_offer(out); });
           })
      .def("setup_answer",
           [](ChooserSession& s, nb::handle choice) {
             const Buffer in(choice);
             return message(lookup_answer_bytes(s.shape()),
                            [&](Bytes out) { s.setup_answer(in.bytes(), out); });
           })
      .def("setup_finish",
           [](ChooserSession& s, nb::handle trees) {
             const Buffer in(trees);
             released([&] { s.setup_finish(in.bytes()); });
           })
      .def_prop_ro("stock", &ChooserSession::stock, nb::rv_policy::reference_internal)
      .def_prop_ro("stock_back", &ChooserSession::stock_back, nb::rv_policy::reference_internal)
      .def("prepare",
           [](ChooserSession& s, const LookupPlan& plan, std::size_t instances, bool from_stock) {
             return released([&] { return s.prepare(plan, instances, source_of(from_stock)); });
           });
}

}  // namespace

void bind_lookups(nb::module_& m) {
  bind_plan(m);
  bind_stocks(m);
  bind_holder(m);
  bind_chooser(m);
  m.attr("LOOKUP_CHUNK_INSTANCES") = kLookupChunk;
  m.attr("MAX_LOOKUP_INSTANCES") = kMaxLookupInstances;
  m.attr("MAX_SLOPE_BITS") = kMaxSlopeBits;
  m.attr("LOOKUP_OFFER_BYTES") = kLookupOfferBytes;
  m.attr("LOOKUP_CHOICE_BYTES") = kLookupChoiceBytes;
  m.attr("TREE_DEPTHS") = nb::make_tuple(kShallowTrees.depth, kDeepTrees.depth);
  m.def("lookup_setup_bytes", [](std::size_t depth) {
    const TreeShape shape = shape_of(depth);
    return kLookupOfferBytes + kLookupChoiceBytes + lookup_answer_bytes(shape) +
           lookup_trees_bytes(shape);
  });
  m.def("stock_seed_bytes",
        [](std::size_t depth) { return stock_seed_bytes(kSilent, shape_of(depth)); });
  m.attr("STOCK_ROUND_BYTES") = stock_trees_bytes(kSilent) + kStockPointBytes + kStockProofBytes;
  m.attr("STOCK_ROUND_TRANSFERS") = kSilent.gain();
  m.attr("SILENT_PARAMETERS") = nb::make_tuple(kSilent.trees, kSilent.depth, kSilent.secrets);
  m.attr("STOCK_WINDOW") = kSilentWindow;
  m.attr("STOCK_POINT_BYTES") = kStockPointBytes;
  m.attr("STOCK_PROOF_BYTES") = kStockProofBytes;
}

}  // namespace capc::gc
