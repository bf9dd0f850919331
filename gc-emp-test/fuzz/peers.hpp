#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "circuits.hpp"
#include "errors.hpp"
#include "evaluator.hpp"
#include "garbler.hpp"
#include "input.hpp"

namespace capc::gc::fuzz {

using Message = std::vector<std::uint8_t>;

/// The circuits that a fuzzed session runs: shared output, garbler's output, signed output.
inline const CircuitPtr& circuit_of(std::size_t choice) {
  static const CircuitPtr circuits[] = {
      std::make_shared<const CompiledCircuit>(argmax_circuit(5, 3, 8)),
      std::make_shared<const CompiledCircuit>(noisy_argmax_circuit(6, 2, true)),
      std::make_shared<const CompiledCircuit>(truncate_circuit(7, 2)),
  };
  return circuits[choice % std::size(circuits)];
}

inline std::vector<Word> some_words(Input& input, std::size_t count) {
  std::vector<Word> words(count);
  for (Word& word : words) word = input.byte();
  return words;
}

/// An honest message as the fuzzer wants it. Mostly it stays honest or only its body changes: any
/// other message ends the session, and the next one's base transfers take longer than all the rest.
inline void bend(Message& message, Input& input) {
  const std::uint8_t how = input.byte();
  if (how < 0x80) return;
  const std::size_t from = how < 0xF0 ? kHeaderBytes : 0;
  if (how < 0xF8) {
    for (std::size_t left = input.below(4) + 1; left > 0 && message.size() > from; --left) {
      message[from + input.below(65536) % (message.size() - from)] ^= input.byte();
    }
  } else if (how < 0xFC) {
    message.resize(input.below(message.size() + 64));
  } else {
    const auto bytes = input.take(input.below(message.size() + 64));
    message.assign(bytes.begin(), bytes.end());
  }
}

/// Two ends of a session and a batch at each; `fresh` ones are set up by honest messages.
struct Peers {
  GarblerSession garbler;
  EvaluatorSession evaluator;
  std::unique_ptr<GarblerBatch> garbled;
  std::unique_ptr<EvaluatorBatch> evaluated;

  static std::unique_ptr<Peers> fresh() {
    auto peers = std::make_unique<Peers>();
    Message offer(kSetupOfferBytes);
    Message choice(kSetupChoiceBytes);
    Message trees(kSetupTreesBytes);
    peers->evaluator.setup_offer(offer);
    peers->garbler.setup_choose(offer, choice);
    peers->garbler.setup_keys();
    peers->evaluator.setup_answer(choice, trees);
    peers->garbler.setup_finish(trees);
    return peers;
  }

  /// A new batch at both ends, in one or two phases.
  void begin(Input& input) {
    garbled.reset();
    evaluated.reset();
    const CircuitPtr& circuit = circuit_of(input.byte());
    const Circuit& c = circuit->circuit;
    const std::size_t instances = 1 + input.below(20);
    const auto fixed = some_words(input, instances * c.fixed_words());
    if ((input.byte() & 1U) != 0) {
      evaluated = evaluator.prepare(circuit, instances);
      garbled = garbler.prepare(circuit, instances, fixed);
    } else {
      evaluated =
          evaluator.run(circuit, instances, some_words(input, instances * c.evaluator_words()));
      garbled =
          garbler.run(circuit, instances, some_words(input, instances * c.online_words()), fixed);
    }
  }
};

/// Keeps one session over many inputs and replaces it once an error has killed it.
class Kept {
 public:
  /// `begin` sets a session up in some way; without it an honest one is used. Then `step` until the
  /// input is used up: calls that the engine refuses, and goes on after, are part of the game.
  template <class Begin, class Step>
  void play(Input& input, bool from_the_start, Begin begin, Step step) {
    try {
      if (from_the_start) {
        peers_ = std::make_unique<Peers>();
        begin(*peers_);
      } else if (peers_ == nullptr) {
        peers_ = Peers::fresh();
      }
      for (int steps = 0; steps < 32 && !input.is_empty(); ++steps) try_step(input, step);
      peers_->garbled.reset();
      peers_->evaluated.reset();
      if (from_the_start) peers_.reset();
    } catch (const ProtocolError&) {
      peers_.reset();
    } catch (const StateError&) {
      peers_.reset();
    }
  }

 private:
  template <class Step>
  void try_step(Input& input, Step step) {
    try {
      step(*peers_, input);
    } catch (const StateError&) {
    } catch (const UsageError&) {
    }
  }

  std::unique_ptr<Peers> peers_;
};

}  // namespace capc::gc::fuzz
