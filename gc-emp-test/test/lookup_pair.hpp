#pragma once

#include <deque>
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
  explicit LookupPair(Path holder_path = best_path(), Path chooser_path = best_path(),
                      const TreeShape& tree_shape = kShallowTrees)
      : shape(tree_shape), holder(holder_path, kFew, shape), chooser(chooser_path, kFew, shape) {}
  explicit LookupPair(const TreeShape& tree_shape)
      : LookupPair(best_path(), best_path(), tree_shape) {}
  virtual ~LookupPair() = default;

  void set_up() {
    Message offer(kLookupOfferBytes), choice(kLookupChoiceBytes);
    Message answer(lookup_answer_bytes(shape)), trees(lookup_trees_bytes(shape));
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
    Message back(plan.back_bytes(h.instances(), shape));
    h.correct(back);
    tamper(back);
    c.take_back(back);
    for (std::size_t i = 0; i < LookupPlan::chunk_count(h.instances()); ++i) {
      Message chosen(plan.correlate_bytes(h.instances(), i, shape));
      c.correlate(chosen);
      tamper(chosen);
      h.take_correlations(chosen);
    }
  }

  /// A round of silent transfers but its proof, after the seeds of the first.
  template <class Sender, class Receiver>
  void grow(Sender& sender, Receiver& receiver) {
    const SilentParameters& parameters = sender.transfers().parameters();
    if (!sender.transfers().is_seeded()) {
      Message seeds(receiver.seed_bytes());
      receiver.send_seeds(seeds);
      tamper(seeds);
      sender.take_seeds(seeds);
    }
    Message trees(stock_trees_bytes(parameters)), point(kStockPointBytes);
    sender.grow(trees);
    tamper(trees);
    receiver.answer(trees, point);
    points.push_back(point);
  }

  /// The first proof that is due.
  template <class Sender, class Receiver>
  void prove(Sender& sender, Receiver& receiver) {
    Message proof(kStockProofBytes);
    tamper(points.front());
    sender.prove(points.front(), proof);
    points.pop_front();
    tamper(proof);
    receiver.finish(proof);
  }

  /// A batch's transfers from the stocks, which are filled where they do not do: first one
  /// direction, with as many rounds under way as may be, then the other.
  void draw(HolderBatch& h, ChooserBatch& c) {
    const auto fill = [&](auto& sender, auto& receiver, std::size_t transfers, auto draw_one,
                          auto is_done) {
      while (!is_done()) {
        if (sender.transfers().available() < transfers) {
          if (sender.transfers().pending() == kSilentWindow) prove(sender, receiver);
          grow(sender, receiver);
        }
        draw_one();
      }
      while (sender.transfers().pending() > 0) prove(sender, receiver);
    };
    fill(
        holder.stock(), chooser.stock(), h.plan().transfers(), [&] { h.draw(), c.draw(); },
        [&] { return h.has_forward(); });
    fill(
        chooser.stock_back(), holder.stock_back(), h.plan().back_transfers(),
        [&] { h.draw_back(), c.draw_back(); }, [&] { return h.has_back(); });
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

  const TreeShape shape;
  HolderSession holder;
  ChooserSession chooser;
  std::deque<Message> points;  // of rounds without a proof
};

}  // namespace capc::gc::test
