// The evaluator against a garbler that sends anything, in any order: an error of the engine's own
// kinds, or outputs within their width.

#include "peers.hpp"

using namespace capc::gc;
using namespace capc::gc::fuzz;

namespace {

void take_next(Peers& peers, Input& input) {
  const BatchLayout& layout = peers.evaluated->layout();
  const std::size_t chunk = std::min(peers.evaluated->choices_made(), layout.chunk_count() - 1);
  Message choice(layout.choice_bytes(chunk));
  if (input.byte() % 8 != 0) peers.evaluated->choose_chunk(choice);
  Message tables(layout.tables_bytes(chunk));
  if (input.byte() % 8 != 0) peers.garbled->garble_chunk(choice, tables);
  bend(tables, input);
  peers.evaluated->take_chunk(tables);
}

void mask(Peers& peers, Input& input) {
  const Circuit& circuit = peers.evaluated->circuit();
  const BatchLayout& layout = peers.evaluated->layout();
  Message masked(layout.masked_bytes());
  peers.evaluated->mask_shares(some_words(input, layout.instances() * circuit.evaluator_words()),
                               masked);
  peers.garbled->take_masked(masked,
                             some_words(input, layout.instances() * circuit.online_words()));
}

void evaluate_next(Peers& peers, Input& input) {
  const BatchLayout& layout = peers.evaluated->layout();
  const std::size_t chunk = std::min(peers.evaluated->chunks_evaluated(), layout.chunk_count() - 1);
  Message labels(layout.labels_bytes(chunk));
  if (input.byte() % 8 != 0) peers.garbled->label_chunk(labels);
  bend(labels, input);
  peers.evaluated->evaluate_chunk(labels);
}

void finish(Peers& peers) {
  const Circuit& circuit = peers.evaluated->circuit();
  const std::span<const Word> outputs = peers.evaluated->outputs();
  require(outputs.size() == peers.evaluated->layout().instances() * circuit.evaluator_out_words(),
          "every output is there");
  for (const Word word : outputs) require(word < 256, "no output is wider than declared");
  Message returned(peers.evaluated->layout().return_bytes());
  peers.evaluated->return_labels(returned);
}

void step(Peers& peers, Input& input) {
  const std::uint8_t operation = input.byte() % 8;
  if (operation == 0 || peers.garbled == nullptr || peers.evaluated == nullptr) {
    peers.begin(input);
  } else if (operation <= 3) {
    take_next(peers, input);
  } else if (operation == 4) {
    mask(peers, input);
  } else if (operation <= 6) {
    evaluate_next(peers, input);
  } else {
    finish(peers);
  }
}

/// Set-up itself, with the garbler's message bent.
void set_up(Peers& peers, Input& input) {
  Message offer(kSetupOfferBytes);
  Message choice(kSetupChoiceBytes);
  Message trees(kSetupTreesBytes);
  peers.evaluator.setup_offer(offer);
  peers.garbler.setup_choose(offer, choice);
  bend(choice, input);
  peers.evaluator.setup_answer(choice, trees);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Kept kept;
  Input input(data, size);
  const bool from_the_start = input.byte() == 0xFF;
  const auto bent_set_up = [&](Peers& peers) { set_up(peers, input); };
  kept.play(input, from_the_start, bent_set_up, step);
  return 0;
}
