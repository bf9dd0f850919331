// Garbled equals plain, on every path, in one phase and in two; batches are used once, in order.

#include <cstring>
#include <set>
#include <thread>

#include "builder.hpp"
#include "check.hpp"
#include "errors.hpp"
#include "layer_circuits.hpp"
#include "pair.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

/// Gates of every kind at random, over every kind of input and output.
Circuit random_circuit(bool with_offline_phase) {
  Builder builder;
  std::vector<Bit> wires;
  const auto keep = [&](const Bits& bits) { wires.insert(wires.end(), bits.begin(), bits.end()); };
  std::vector<SharePair> shares;
  for (int i = 0; i < 3; ++i) shares.push_back(builder.shared_input(1 + rng()() % 7));
  keep(builder.input(InputKind::GarblerFixed, 5));
  if (!with_offline_phase) {
    keep(builder.input(InputKind::Evaluator, 6));
    keep(builder.input(InputKind::GarblerOnline, 4));
  }
  for (const SharePair& share : shares) keep(builder.reconstruct(share));
  for (int i = 0; i < 200; ++i) {
    const Bit a = wires[rng()() % wires.size()];
    const Bit b = wires[rng()() % wires.size()];
    switch (rng()() % 4) {
      case 0:
        wires.push_back(builder.xor_(a, b));
        break;
      case 1:
        wires.push_back(builder.not_(a));
        break;
      default:
        wires.push_back(builder.and_(a, b));
        break;
    }
  }
  const auto word = [&](std::size_t bits) {
    Bits out;
    for (std::size_t i = 0; i < bits; ++i) out.push_back(wires[rng()() % wires.size()]);
    return out;
  };
  builder.output(OutputKind::Evaluator, word(9));
  builder.output_shared(word(6), 11, true);
  builder.output(OutputKind::Both, word(3));
  builder.output_shared(word(64), 64, false);
  builder.output(OutputKind::Garbler, word(64));
  builder.output_shared(word(8), 5, false);
  builder.output(OutputKind::Evaluator, {Bit::constant(true), Bit::constant(false)});
  return builder.finish();
}

void check_pair(Pair& pair, const CircuitPtr& circuit, std::size_t n) {
  const Circuit& c = circuit->circuit;
  const auto a = random_words(n * c.online_words());
  const auto f = random_words(n * c.fixed_words());
  const auto b = random_words(n * c.evaluator_words());
  const PlainOutputs expected = plain_many(c, n, a, f, b);
  const PlainOutputs once = pair.run(circuit, n, a, f, b);
  CHECK(once.evaluator == expected.evaluator);
  CHECK(once.garbler == expected.garbler);
  if (!c.has_offline_phase()) {
    CHECK_THROWS(UsageError, (void)pair.garbler.prepare(circuit, n, f));
    return;
  }
  const PlainOutputs phases = pair.run_in_phases(circuit, n, a, f, b);
  CHECK(phases.evaluator == expected.evaluator);
  CHECK(phases.garbler == expected.garbler);
}

void all_circuits(Path garbler_path, Path evaluator_path) {
  Pair pair(garbler_path, evaluator_path);
  pair.set_up();
  const CircuitPtr circuits[] = {compile(relu_circuit(47, 0)),
                                 compile(relu_circuit(37, 12)),
                                 compile(relu_circuit(64, 20)),
                                 compile(truncate_circuit(33, 8)),
                                 compile(argmax_circuit(37, 10, 32)),
                                 compile(argmax_circuit(8, 3, 64)),
                                 compile(noisy_argmax_circuit(32, 10, true)),
                                 compile(noisy_argmax_circuit(16, 5, false)),
                                 compile(lower_shared_outputs(relu_circuit(20, 4))),
                                 compile(bounded_relu_circuit(37, 12, Word{6} << 12U)),
                                 compile(leaky_relu_circuit(37, 12, 819, 12)),
                                 compile(square_circuit(41, 12, 12)),
                                 compile(maximum_circuit(37, 9)),
                                 compile(step_circuit(37, 32)),
                                 compile(top_k_circuit(16, 5, 2, 32))};
  for (const CircuitPtr& circuit : circuits) {
    check_pair(pair, circuit, 1);
    check_pair(pair, circuit, 18);
    if (garbler_path == Path::Portable) continue;  // bit-sliced AES takes its time
    for (const std::size_t n : {2U, 5U, 16U, 33U}) check_pair(pair, circuit, n);
  }
  for (int i = 0; i < 20; ++i) {
    const CircuitPtr circuit = compile(random_circuit(i % 2 == 0));
    for (const std::size_t n : {1U, 3U, 18U}) check_pair(pair, circuit, n);
  }
}

void many_chunks() {
  Pair pair;
  pair.set_up();
  const CircuitPtr circuit = compile(relu_circuit(47, 12));
  const auto g = pair.garbler.run(circuit, 1080, random_words(1080), random_words(1080));
  CHECK(g->layout().chunk_count() > 4);
  Pair fresh;
  fresh.set_up();
  check_pair(fresh, circuit, 1080);
}

void batches_are_used_once_and_in_order() {
  Pair pair;
  pair.set_up();
  const CircuitPtr circuit = compile(relu_circuit(16, 0));
  const auto mask = random_words(2), a = random_words(2), b = random_words(2);
  const auto expected = plain_many(circuit->circuit, 2, a, mask, b);
  std::vector<std::unique_ptr<GarblerBatch>> g;
  std::vector<std::unique_ptr<EvaluatorBatch>> e;
  for (int i = 0; i < 3; ++i) {
    g.push_back(pair.garbler.prepare(circuit, 2, mask));
    e.push_back(pair.evaluator.prepare(circuit, 2));
  }
  // Several may be under way at once, and are prepared one after the other.
  Message choice(e[1]->layout().choice_bytes(0)), tables(e[1]->layout().tables_bytes(0));
  CHECK_THROWS(StateError, e[1]->choose_chunk(choice));
  CHECK_THROWS(StateError, g[1]->garble_chunk(choice, tables));
  for (std::size_t i = 0; i < 3; ++i) pair.transfer(*g[i], *e[i]);
  CHECK_THROWS(StateError, e[1]->choose_chunk(choice));
  CHECK_THROWS(StateError, g[1]->garble_chunk(choice, tables));
  pair.online(*g[0], *e[0], a, b);
  CHECK(pair.finish(*g[0], *e[0]).evaluator == expected.evaluator);
  CHECK_THROWS(StateError, pair.online(*g[0], *e[0], a, b));
  Message labels(g[0]->layout().labels_bytes());
  CHECK_THROWS(StateError, g[0]->label_shares({}, a, labels));
  pair.online(*g[2], *e[2], a, b);
  CHECK_THROWS(StateError, pair.online(*g[1], *e[1], a, b));
  CHECK_THROWS(StateError, (void)e[1]->outputs());
}

void misuse() {
  Pair pair;
  const CircuitPtr circuit = compile(relu_circuit(16, 0));
  CHECK_THROWS(StateError, (void)pair.garbler.prepare(circuit, 1, random_words(1)));
  CHECK_THROWS(StateError, (void)pair.evaluator.prepare(circuit, 1));
  pair.set_up();
  CHECK_THROWS(StateError, pair.set_up());
  CHECK_THROWS(UsageError, (void)pair.garbler.prepare(circuit, 2, random_words(1)));
  CHECK_THROWS(UsageError, (void)pair.evaluator.run(circuit, 0, {}));
}

void tweaks_run_out_instead_of_repeating() {
  SessionClock clock;
  CHECK(clock.reserve_tweaks(10) == 0);
  CHECK(clock.reserve_tweaks(6) == 10);
  CHECK_THROWS(StateError, (void)clock.reserve_tweaks(~std::uint64_t{0}));
  CHECK(clock.reserve_tweaks((std::uint64_t{1} << 63) - 16) == 16);
  CHECK_THROWS(StateError, (void)clock.reserve_tweaks(1));
}

/// Every hash of a batch: each tweak once, and inside what the batch reserves.
void tweaks_of_a_batch_are_distinct() {
  const CompiledCircuit compiled(relu_circuit(6, 1));
  for (const std::size_t n : {1U, 2U, 15U, 16U, 17U, 40U}) {
    const BatchLayout layout(compiled, n);
    std::set<std::uint64_t> seen;
    std::size_t total = 0;
    const auto use = [&](std::uint64_t tweak) {
      CHECK(tweak < layout.tweak_count());
      seen.insert(tweak);
      ++total;
    };
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t lane = i % kLanes;
      for (std::size_t gate = 0; gate < compiled.circuit.and_count(); ++gate) {
        const std::uint64_t even = layout.gate_tweak(i / kLanes) + 2 * (gate * n + lane);
        CHECK(even % 2 == 0);
        use(even);
        use(even + 1);
      }
      for (std::size_t term = 0; term < compiled.circuit.term_count(); ++term) {
        use(layout.term_tweak(term, i / kLanes) + lane);
      }
    }
    CHECK(seen.size() == total);
    CHECK(layout.tweak_count() - total <= 1);
  }
}

/// The same inputs give unrelated tables, and online messages that hide them.
void nothing_repeats() {
  class Recorder : public Pair {
   public:
    void tamper(Message& message) override { messages.push_back(message); }
    std::vector<Message> messages;
  };
  Recorder pair;
  pair.set_up();
  const CircuitPtr circuit = compile(relu_circuit(32, 0));
  const std::vector<Word> zeros(16, 0);
  for (int i = 0; i < 4; ++i) (void)pair.run_in_phases(circuit, 16, zeros, zeros, zeros);
  std::set<std::vector<std::uint8_t>> blocks;
  std::size_t total = 0;
  for (const Message& message : pair.messages) {
    for (std::size_t at = kHeaderBytes; at + 16 <= message.size(); at += 16) {
      blocks.insert({message.begin() + static_cast<std::ptrdiff_t>(at),
                     message.begin() + static_cast<std::ptrdiff_t>(at) + 16});
      ++total;
    }
  }
  CHECK(total > 10000 && blocks.size() == total);
}

void sessions_in_parallel() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      Pair pair;
      pair.set_up();
      const CircuitPtr circuit = compile(relu_circuit(37, 12));
      std::vector<Word> a(100, 5), f(100, 7), b(100, (Word{1} << 20U) - 5);
      const auto out = pair.run_in_phases(circuit, 100, a, f, b);
      for (const Word y : out.evaluator) CHECK(y == 256 - 7);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main() {
  return run_tests([] {
    for (const Path path : {Path::Portable, Path::AesNi, Path::Vaes}) {
      if (is_supported(path)) all_circuits(path, path);
    }
    all_circuits(Path::Portable, best_path());
    many_chunks();
    batches_are_used_once_and_in_order();
    misuse();
    tweaks_run_out_instead_of_repeating();
    tweaks_of_a_batch_are_distinct();
    nothing_repeats();
    sessions_in_parallel();
  });
}
