#pragma once

#include <deque>
#include <span>
#include <vector>

#include "circuits.hpp"
#include "evaluator.hpp"
#include "garbler.hpp"

namespace capc::gc::test {

using Message = std::vector<std::uint8_t>;

/// Both ends of a session in one thread. `tamper` sees every message before it is delivered.
class Pair {
 public:
  explicit Pair(Path garbler_path = best_path(), Path evaluator_path = best_path())
      : garbler(garbler_path), evaluator(evaluator_path) {}
  virtual ~Pair() = default;

  void set_up() {
    Message offer(kSetupOfferBytes);
    evaluator.setup_offer(offer);
    tamper(offer);
    Message choice(kSetupChoiceBytes);
    garbler.setup_choose(offer, choice);
    garbler.setup_keys();
    tamper(choice);
    Message trees(kSetupTreesBytes);
    evaluator.setup_answer(choice, trees);
    tamper(trees);
    garbler.setup_finish(trees);
  }

  void transfer(GarblerBatch& g, EvaluatorBatch& e) {
    for (std::size_t i = 0; i < g.layout().chunk_count(); ++i) {
      Message choice(e.layout().choice_bytes(i));
      e.choose_chunk(choice);
      tamper(choice);
      Message tables(g.layout().tables_bytes(i));
      g.garble_chunk(choice, tables);
      tamper(tables);
      e.take_chunk(tables);
    }
  }

  void online(GarblerBatch& g, EvaluatorBatch& e, std::span<const Word> a,
              std::span<const Word> b) {
    Message masked(e.layout().masked_bytes());
    e.mask_shares(b, masked);
    tamper(masked);
    Message labels(g.layout().labels_bytes());
    g.label_shares(masked, a, labels);
    tamper(labels);
    e.evaluate(labels);
  }

  PlainOutputs finish(GarblerBatch& g, EvaluatorBatch& e) {
    PlainOutputs result;
    result.evaluator.assign(e.outputs().begin(), e.outputs().end());
    result.garbler.resize(g.layout().instances() * g.circuit().garbler_out_words());
    if (!result.garbler.empty()) {
      Message returned(e.layout().return_bytes());
      e.return_labels(returned);
      tamper(returned);
      g.decode(returned, result.garbler);
    }
    return result;
  }

  PlainOutputs run(const CircuitPtr& circuit, std::size_t n, std::span<const Word> a,
                   std::span<const Word> fixed, std::span<const Word> b) {
    const auto g = garbler.run(circuit, n, a, fixed);
    const auto e = evaluator.run(circuit, n, b);
    transfer(*g, *e);
    return finish(*g, *e);
  }

  PlainOutputs run_in_phases(const CircuitPtr& circuit, std::size_t n, std::span<const Word> a,
                             std::span<const Word> fixed, std::span<const Word> b) {
    const auto g = garbler.prepare(circuit, n, fixed);
    const auto e = evaluator.prepare(circuit, n);
    transfer(*g, *e);
    online(*g, *e, a, b);
    return finish(*g, *e);
  }

  virtual void tamper(Message&) {}

  GarblerSession garbler;
  EvaluatorSession evaluator;
};

inline CircuitPtr compile(Circuit circuit) {
  return std::make_shared<const CompiledCircuit>(std::move(circuit));
}

/// evaluate_plain for many instances.
inline PlainOutputs plain_many(const Circuit& circuit, std::size_t n, std::span<const Word> a,
                               std::span<const Word> fixed, std::span<const Word> b) {
  PlainOutputs all;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t na = circuit.online_words();
    const std::size_t nf = circuit.fixed_words();
    const std::size_t nb = circuit.evaluator_words();
    const PlainOutputs one = evaluate_plain(circuit, a.subspan(i * na, na),
                                            fixed.subspan(i * nf, nf), b.subspan(i * nb, nb));
    all.evaluator.insert(all.evaluator.end(), one.evaluator.begin(), one.evaluator.end());
    all.garbler.insert(all.garbler.end(), one.garbler.begin(), one.garbler.end());
  }
  return all;
}

}  // namespace capc::gc::test
