// The garbler against an evaluator that sends anything, in any order: an error of the engine's own
// kinds, or outputs within their width.

#include "peers.hpp"

using namespace capc::gc;
using namespace capc::gc::fuzz;

namespace {

Message choice_message(Peers& peers, Input& input) {
  const BatchLayout& layout = peers.evaluated->layout();
  Message choice(layout.choice_bytes(0));
  if (peers.evaluated->choices_made() < layout.chunk_count()) {
    choice.resize(layout.choice_bytes(peers.evaluated->choices_made()));
    peers.evaluated->choose_chunk(choice);
  }
  bend(choice, input);
  return choice;
}

void garble_next(Peers& peers, Input& input) {
  const BatchLayout& layout = peers.garbled->layout();
  const Message choice = choice_message(peers, input);
  const std::size_t chunk = std::min(peers.garbled->chunks_done(), layout.chunk_count() - 1);
  Message tables(layout.tables_bytes(chunk));
  peers.garbled->garble_chunk(choice, tables);
  peers.evaluated->take_chunk(tables);
}

void take_shares(Peers& peers, Input& input) {
  const Circuit& circuit = peers.garbled->circuit();
  const BatchLayout& layout = peers.garbled->layout();
  Message masked(layout.masked_bytes());
  if (input.byte() % 8 != 0) {
    peers.evaluated->mask_shares(some_words(input, layout.instances() * circuit.evaluator_words()),
                                 masked);
  }
  bend(masked, input);
  peers.garbled->take_masked(masked,
                             some_words(input, layout.instances() * circuit.online_words()));
}

void label_next(Peers& peers) {
  const BatchLayout& layout = peers.garbled->layout();
  const std::size_t chunk = std::min(peers.garbled->chunks_labelled(), layout.chunk_count() - 1);
  Message labels(layout.labels_bytes(chunk));
  peers.garbled->label_chunk(labels);
  peers.evaluated->evaluate_chunk(labels);
}

void decode(Peers& peers, Input& input) {
  const BatchLayout& layout = peers.garbled->layout();
  Message returned(layout.return_bytes());
  if (input.byte() % 8 != 0) peers.evaluated->return_labels(returned);
  bend(returned, input);
  std::vector<Word> outputs(layout.instances() * peers.garbled->circuit().garbler_out_words());
  peers.garbled->decode(returned, outputs);
  for (const Word word : outputs) require(word <= 1, "answered is one bit");
}

void step(Peers& peers, Input& input) {
  const std::uint8_t operation = input.byte() % 8;
  if (operation == 0 || peers.garbled == nullptr || peers.evaluated == nullptr) {
    peers.begin(input);
  } else if (operation <= 3) {
    garble_next(peers, input);
  } else if (operation == 4) {
    take_shares(peers, input);
  } else if (operation <= 6) {
    label_next(peers);
  } else {
    decode(peers, input);
  }
}

/// Set-up itself, with its messages bent.
void set_up(Peers& peers, Input& input) {
  Message offer(kSetupOfferBytes);
  Message choice(kSetupChoiceBytes);
  Message trees(kSetupTreesBytes);
  peers.evaluator.setup_offer(offer);
  bend(offer, input);
  peers.garbler.setup_choose(offer, choice);
  if ((input.byte() & 1U) != 0) peers.garbler.setup_keys();
  peers.evaluator.setup_answer(choice, trees);
  bend(trees, input);
  peers.garbler.setup_finish(trees);
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
