// Evaluators that deviate: against the transfers for the garbler's difference Δ, and against the
// outputs that the garbler learns. Without the checks both work, and Δ is found whole.

#include <algorithm>
#include <cstring>

#include "builder.hpp"
#include "cheating_receiver.hpp"
#include "check.hpp"
#include "errors.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

constexpr std::size_t kOutputs = 64;

/// The evaluator's bit ANDed with each bit of the garbler's word: 64 outputs that it knows to be 0
/// where it chose 0, so that a label is either right or seen to be wrong.
Circuit probe_circuit() {
  Builder builder;
  const Bits x = builder.input(InputKind::Evaluator, 1);
  const Bits y = builder.input(InputKind::GarblerOnline, kOutputs);
  builder.output(OutputKind::Evaluator, builder.and_all(x[0], y));
  return builder.finish();
}

/// One instance for each tree, and the tables that the garbler makes of them.
struct Probe {
  CircuitPtr circuit = compile(probe_circuit());
  std::size_t instances = kShallowTrees.trees();
  BatchLayout layout{*circuit, instances};
  Message tables = Message(layout.tables_bytes(0));

  /// For each tree that guesses rightly what its lie does to the garbler's label: bit i for tree i.
  [[nodiscard]] std::uint32_t right_guesses(const CheatingEvaluator& evaluator,
                                            Block guesses) const {
    const Kernels& kernels = kernels_of(best_path());
    Reader rows(ConstBytes(tables).subspan(kHeaderBytes));
    RoundKeys seed;
    kernels.expand_key(rows.value<Block>(), seed);
    std::uint32_t right = 0;
    for (std::size_t block = 0; block < instances / kLanes; ++block) {
      SecretArray<Block> slots(circuit->program.slot_count() * kLanes);
      SecretArray<Block> stream(kOutputs * kLanes);
      kernels.stream(seed, block * stream.size(), stream.data(), stream.size());
      for (std::size_t i = 0; i < kOutputs; ++i) {
        std::copy_n(stream.data() + i * kLanes, kLanes,
                    slots.data() + layout.online_bits()[i].slot * kLanes);
      }
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::size_t tree = block * kLanes + lane;
        slots[layout.evaluator_bits()[0].slot * kLanes + lane] =
            evaluator.labels[tree] ^
            at_tree(kShallowTrees, tree, path_of(kShallowTrees, guesses, tree));
      }
      const std::vector<Op>& ops = circuit->program.ops();
      const TweakRange tweaks{evaluator.start, layout.gate_tweak(block), instances};
      kernels.evaluate({ops.data(), ops.size(), slots.data(), kLanes, tweaks,
                        rows.take(kOutputs * kTableBytes * kLanes).data()});
      unsigned wrong = 0;
      for (const SlotRef& ref : circuit->program.outputs()[0]) {
        wrong |=
            unsigned{colours(slots.data() + ref.slot * kLanes, kLanes)} ^ rows.value<LaneBits>();
      }
      right |= (~wrong & 0xFFFFU) << (block * kLanes);
    }
    return right;
  }
};

/// Tree i lies about the choice of instance i.
std::vector<Block> lie_in(std::uint32_t trees) {
  std::vector<Block> lies(kShallowTrees.trees());
  for (std::size_t i = 0; i < lies.size(); ++i) lies[i] = select(trees >> i, one_bit(i));
  return lies;
}

/// One probe of each nibble of Δ: 16 evaluations of the tables would give all 32 of them.
void lies_in_every_tree_get_no_tables() {
  GarblerSession garbler;
  CheatingEvaluator evaluator(garbler);
  Probe probe;
  const auto batch = garbler.run(probe.circuit, probe.instances, random_words(probe.instances), {});
  const Message choice =
      evaluator.choose(probe.layout, probe.circuit->circuit, lie_in(~0U), random_value<Block>());
  CHECK_THROWS(ProtocolError, batch->garble_chunk(choice, probe.tables));
  CHECK(std::all_of(probe.tables.begin(), probe.tables.end(), [](auto byte) { return byte == 0; }));
  CHECK_THROWS(StateError, batch->garble_chunk(choice, probe.tables));
  CHECK_THROWS(StateError, (void)garbler.run(probe.circuit, 1, random_words(1), {}));
}

/// What is left: a guess of one nibble passes if it is right, once in 16 sessions, and tells what
/// it guessed. Without the check the same tables would say it of every guess.
void a_lie_passes_by_a_right_guess_only() {
  constexpr std::size_t kTree = 21;
  constexpr int kSessions = 600;  // all of them fail with probability below 1e-16
  for (int session = 0; session < kSessions; ++session) {
    const Block guess = at_tree(kShallowTrees, kTree, static_cast<std::uint64_t>(session) % 16);
    GarblerSession garbler;
    CheatingEvaluator evaluator(garbler);
    Probe probe;
    const auto batch =
        garbler.run(probe.circuit, probe.instances, random_words(probe.instances), {});
    const Message choice =
        evaluator.choose(probe.layout, probe.circuit->circuit, lie_in(1U << kTree), guess);
    try {
      batch->garble_chunk(choice, probe.tables);
    } catch (const ProtocolError&) {
      continue;
    }
    CHECK(probe.right_guesses(evaluator, guess) == ~0U);
    for (std::uint64_t other = 1; other < 16; ++other) {
      CHECK(probe.right_guesses(evaluator, guess ^ at_tree(kShallowTrees, kTree, other)) ==
            ~(1U << kTree));
    }
    return;
  }
  CHECK(false);
}

/// An evaluator that holds a label and says that it holds none.
void an_answer_cannot_be_denied() {
  class Denying : public Pair {
   public:
    void tamper(Message& message) override {
      Header header;
      std::memcpy(&header, message.data(), sizeof header);
      if (header.type == MessageType::Return) message[kHeaderBytes + at] ^= mask;
    }
    std::size_t at = 0;
    std::uint8_t mask = 1;
  };
  const CircuitPtr circuit = compile(noisy_argmax_circuit(12, 3, true));
  const std::vector<Word> online(circuit->circuit.online_words()), votes = {0, 7, 0};
  for (std::size_t at = 0; at < sizeof(Block); at += 3) {
    Denying pair;
    pair.at = at;
    pair.set_up();
    const auto g = pair.garbler.run(circuit, 1, online, {});
    const auto e = pair.evaluator.run(circuit, 1, votes);
    pair.transfer(*g, *e);
    CHECK(e->outputs()[0] == 1 && e->outputs()[1] == 1);  // answered, and class 1
    CHECK_THROWS(ProtocolError, (void)pair.finish(*g, *e));
    CHECK_THROWS(StateError, (void)pair.garbler.run(circuit, 1, online, {}));
  }
}

/// The other label is as far as Δ: one instance's label does not serve another.
void labels_of_other_instances_are_refused() {
  class Swapping : public Pair {
   public:
    void tamper(Message& message) override {
      Header header;
      std::memcpy(&header, message.data(), sizeof header);
      if (header.type != MessageType::Return) return;
      const auto first = message.begin() + kHeaderBytes;
      std::swap_ranges(first, first + sizeof(Block), first + sizeof(Block));
    }
  };
  Swapping pair;
  pair.set_up();
  const CircuitPtr circuit = compile(noisy_argmax_circuit(12, 3, true));
  const std::vector<Word> online(2 * circuit->circuit.online_words());
  const std::vector<Word> votes = {0, 7, 0, 0, 7, 0};
  CHECK_THROWS(ProtocolError, (void)pair.run(circuit, 2, online, {}, votes));
}

}  // namespace

int main() {
  return run_tests([] {
    lies_in_every_tree_get_no_tables();
    a_lie_passes_by_a_right_guess_only();
    an_answer_cannot_be_denied();
    labels_of_other_instances_are_refused();
  });
}
