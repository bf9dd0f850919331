#pragma once

#include <span>
#include <vector>

#include "chooser.hpp"
#include "holder.hpp"

namespace capc::gc::test {

using Message = std::vector<std::uint8_t>;

/// Both ends of a session of look-ups in one thread. `tamper` sees every message on its way.
class LookupPair {
 public:
  explicit LookupPair(Path holder_path = best_path(), Path chooser_path = best_path())
      : holder(holder_path), chooser(chooser_path) {}
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
    const ReluPlan& plan = h.plan();
    Message back(plan.back_bytes(h.instances()));
    h.correct(back);
    tamper(back);
    c.take_back(back);
    for (std::size_t i = 0; i < ReluPlan::chunk_count(h.instances()); ++i) {
      Message chosen(plan.correlate_bytes(h.instances(), i));
      c.correlate(chosen);
      tamper(chosen);
      h.take_correlations(chosen);
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

  std::vector<Word> run(const ReluPlan& plan, std::span<const Word> masks, std::span<const Word> a,
                        std::span<const Word> b) {
    const auto h = holder.prepare(plan, masks);
    const auto c = chooser.prepare(plan, masks.size());
    prepare(*h, *c);
    return evaluate(*h, *c, a, b);
  }

  virtual void tamper(Message&) {}

  HolderSession holder;
  ChooserSession chooser;
};

}  // namespace capc::gc::test
