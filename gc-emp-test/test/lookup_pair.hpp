#pragma once

#include <span>
#include <vector>

#include "chooser.hpp"
#include "holder.hpp"
#include "silent_pair.hpp"

namespace capc::gc::test {

using Message = std::vector<std::uint8_t>;

/// Both ends of a session of look-ups in one thread. `tamper` sees every message on its way.
class LookupPair {
 public:
  explicit LookupPair(Path holder_path = best_path(), Path chooser_path = best_path())
      : holder(holder_path, kFew), chooser(chooser_path, kFew) {}
  virtual ~LookupPair() = default;

  void set_up() {
    Message offer(kLookupOfferBytes), choice(kLookupChoiceBytes);
    Message answer(kLookupAnswerBytes), trees(kLookupTreesBytes);
    chooser.setup_offer(offer);
    tamper(offer);
    holder.setup_choose(offer, choice);
    tamper(choice);
    chooser.setup_answer(choice, answer);
    tamper(answer);
    holder.setup_finish(answer, trees);
    tamper(trees);
    chooser.setup_finish(trees);
  }

  void prepare(HolderBatch& h, ChooserBatch& c) {
    const LookupPlan& plan = h.plan();
    Message back(plan.back_bytes(h.instances()));
    h.correct(back);
    tamper(back);
    c.take_back(back);
    for (std::size_t i = 0; i < LookupPlan::chunk_count(h.instances()); ++i) {
      Message chosen(plan.correlate_bytes(h.instances(), i));
      c.correlate(chosen);
      tamper(chosen);
      h.take_correlations(chosen);
    }
  }

  /// One round of silent transfers, after the seeds of the first.
  template <class Sender, class Receiver>
  void fill(Sender& sender, Receiver& receiver) {
    const SilentParameters& parameters = sender.transfers().parameters();
    if (!sender.transfers().is_seeded()) {
      Message seeds(stock_seed_bytes(parameters));
      receiver.send_seeds(seeds);
      tamper(seeds);
      sender.take_seeds(seeds);
    }
    Message trees(stock_trees_bytes(parameters));
    Message point(kStockPointBytes), proof(kStockProofBytes);
    sender.grow(trees);
    tamper(trees);
    receiver.answer(trees, point);
    tamper(point);
    sender.prove(point, proof);
    tamper(proof);
    receiver.finish(proof);
  }

  /// A batch's transfers from the stocks, which are filled where they do not do.
  void draw(HolderBatch& h, ChooserBatch& c) {
    while (!h.is_prepared()) {
      if (holder.stock().transfers().available() < h.plan().transfers()) {
        fill(holder.stock(), chooser.stock());
      }
      if (holder.stock_back().transfers().available() < h.plan().back_transfers()) {
        fill(chooser.stock_back(), holder.stock_back());
      }
      h.draw();
      c.draw();
    }
  }

  std::vector<Word> evaluate(HolderBatch& h, ChooserBatch& c, std::span<const Word> a,
                             std::span<const Word> b) {
    h.begin(a);
    c.begin(b);
    for (std::size_t step = 0; step < h.plan().steps().size(); ++step) {
      Message chosen(h.plan().choose_bytes(h.instances(), step));
      c.choose(chosen);
      tamper(chosen);
      Message table(h.plan().table_bytes(h.instances(), step));
      h.answer(chosen, table);
      tamper(table);
      c.take_table(table);
    }
    return {c.outputs().begin(), c.outputs().end()};
  }

  std::vector<Word> run(const LookupPlan& plan, std::span<const Word> masks,
                        std::span<const Word> a, std::span<const Word> b,
                        Source source = Source::Corrections) {
    const auto h = holder.prepare(plan, masks, source);
    const auto c = chooser.prepare(plan, masks.size(), source);
    if (source == Source::Stock) {
      draw(*h, *c);
    } else {
      prepare(*h, *c);
    }
    return evaluate(*h, *c, a, b);
  }

  virtual void tamper(Message&) {}

  HolderSession holder;
  ChooserSession chooser;
};

}  // namespace capc::gc::test
