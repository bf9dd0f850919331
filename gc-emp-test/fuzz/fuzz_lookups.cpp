// Either end of a session of look-ups against a peer that bends its messages: an error of the
// engine's own kinds, or outputs within their width.

#include <array>

#include "chooser.hpp"
#include "leaky_relu_plan.hpp"
#include "maximum_plan.hpp"
#include "number_plans.hpp"
#include "peers.hpp"
#include "relu_plan.hpp"
#include "shift_plan.hpp"
#include "square_plan.hpp"

using namespace capc::gc;
using namespace capc::gc::fuzz;

namespace {

/// Few, so that a round takes no time.
constexpr SilentParameters kFew{32, 5, 100};

struct LookupPeers {
  HolderSession holder{best_path(), kFew};
  ChooserSession chooser{best_path(), kFew};
};

/// The four messages of set-up. `bent` bends them or leaves them as they are.
template <class Bend>
std::unique_ptr<LookupPeers> set_up(Bend bent) {
  auto peers = std::make_unique<LookupPeers>();
  Message offer(kLookupOfferBytes), choice(kLookupChoiceBytes);
  Message answer(lookup_answer_bytes()), trees(lookup_trees_bytes());
  peers->chooser.setup_offer(offer);
  bent(offer);
  peers->holder.setup_choose(offer, choice);
  bent(choice);
  peers->chooser.setup_answer(choice, answer);
  bent(answer);
  peers->holder.setup_finish(answer, trees);
  bent(trees);
  peers->chooser.setup_finish(trees);
  return peers;
}

/// Rounds of silent transfers, after the seeds of the first. Where the input says so, the next
/// begins before the proof of the last.
template <class Sender, class Receiver>
void fill(Sender& sender, Receiver& receiver, Input& input) {
  if (!sender.transfers().is_seeded()) {
    Message seeds(stock_seed_bytes(kFew));
    receiver.send_seeds(seeds);
    bend(seeds, input);
    sender.take_seeds(seeds);
  }
  Message trees(stock_trees_bytes(kFew)), proof(kStockProofBytes);
  std::vector<Message> points;
  do {
    sender.grow(trees);
    bend(trees, input);
    receiver.answer(trees, points.emplace_back(kStockPointBytes));
  } while (points.size() < kSilentWindow && (input.byte() & 1U) != 0);
  for (Message& point : points) {
    bend(point, input);
    sender.prove(point, proof);
    bend(proof, input);
    receiver.finish(proof);
  }
}

void prepare(HolderBatch& holder, ChooserBatch& chooser, Input& input) {
  const LookupPlan& plan = holder.plan();
  Message back(plan.back_bytes(holder.instances()));
  Message correlations(plan.correlate_bytes(holder.instances(), 0));
  holder.correct(back);
  bend(back, input);
  chooser.take_back(back);
  chooser.correlate(correlations);
  bend(correlations, input);
  holder.take_correlations(correlations);
}

void draw(LookupPeers& peers, HolderBatch& holder, ChooserBatch& chooser, Input& input) {
  while (!holder.has_forward()) {
    if (peers.holder.stock().transfers().available() < holder.plan().transfers()) {
      fill(peers.holder.stock(), peers.chooser.stock(), input);
    }
    holder.draw();
    chooser.draw();
  }
  while (!holder.has_back()) {
    if (peers.holder.stock_back().transfers().available() < holder.plan().back_transfers()) {
      fill(peers.chooser.stock_back(), peers.holder.stock_back(), input);
    }
    holder.draw_back();
    chooser.draw_back();
  }
}

void run(LookupPeers& peers, Input& input) {
  static const std::array<LookupPlan, 11> plans = {relu_plan(7, 2, 7),
                                                   relu_plan(37, 12, 26),
                                                   bounded_relu_plan(20, 4, 1000, 12),
                                                   rescale_plan(20, 7),
                                                   step_plan(20, 5),
                                                   widened_plan(9, 20),
                                                   leaky_relu_plan(20, 5, 13, 7),
                                                   square_plan(17),
                                                   shift_plan(20, 7, 33),
                                                   maximum_plan(16, 4, 20),
                                                   maximum_plan(20, 3, 20)};
  const LookupPlan& plan = plans[input.byte() % plans.size()];
  const std::size_t instances = 1 + input.below(20);
  const Source source = (input.byte() & 1U) != 0 ? Source::Stock : Source::Corrections;
  const auto holder = peers.holder.prepare(plan, some_words(input, instances), source);
  const auto chooser = peers.chooser.prepare(plan, instances, source);
  if (source == Source::Stock) {
    draw(peers, *holder, *chooser, input);
  } else {
    prepare(*holder, *chooser, input);
  }
  holder->begin(some_words(input, instances * plan.inputs()));
  chooser->begin(some_words(input, instances * plan.inputs()));
  for (std::size_t step = 0; step < plan.steps().size(); ++step) {
    Message choose(plan.choose_bytes(instances, step)), table(plan.table_bytes(instances, step));
    chooser->choose(choose);
    bend(choose, input);
    holder->answer(choose, table);
    bend(table, input);
    chooser->take_table(table);
  }
  for (const Word word : chooser->outputs()) {
    require(word == low_bits(word, plan.output_bits()), "an output lies in its ring");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::unique_ptr<LookupPeers> kept;
  Input input(data, size);
  try {
    if (input.byte() == 0xFF) kept = set_up([&](Message& message) { bend(message, input); });
    if (kept == nullptr) kept = set_up([](Message&) {});
    run(*kept, input);
  } catch (const ProtocolError&) {
    kept.reset();  // its ends are out of step
  }
  return 0;
}
