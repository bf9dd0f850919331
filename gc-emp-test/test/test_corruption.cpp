// Every message truncated, lengthened, and with flipped bits: a ProtocolError, or, for the
// garbler's messages and the masked inputs, an output that is merely wrong. Never a crash; the
// sanitizer presets run this too.

#include <cstring>
#include <functional>

#include "check.hpp"
#include "errors.hpp"
#include "pair.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

constexpr std::size_t kInstances = 5;

/// Changes one message of the protocol, by its place in the order.
class Tampering : public Pair {
 public:
  Tampering(std::size_t target, std::function<void(Message&)> change)
      : target_(target), change_(std::move(change)) {}
  void tamper(Message& message) override {
    if (seen_++ == target_) change_(message);
  }
  [[nodiscard]] std::size_t seen() const { return seen_; }

 private:
  std::size_t target_;
  std::function<void(Message&)> change_;
  std::size_t seen_ = 0;
};

/// Says how many messages there were, however it ended.
class Counting {
 public:
  Counting(const Tampering& pair, std::size_t* messages) : pair_(pair), messages_(messages) {}
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  ~Counting() {
    if (messages_ != nullptr) *messages_ = pair_.seen();
  }

 private:
  const Tampering& pair_;
  std::size_t* messages_;
};

enum class Outcome { Right, Wrong, Refused };

const CircuitPtr& circuit() {
  static const CircuitPtr built = compile(noisy_argmax_circuit(12, 3, true));
  return built;
}

/// Set-up, one batch in two phases, one in one phase: every type of message.
Outcome play(std::size_t target, std::function<void(Message&)> change,
             std::size_t* messages = nullptr) {
  const Circuit& c = circuit()->circuit;
  const auto a = random_words(kInstances * c.online_words());
  const auto b = random_words(kInstances * c.evaluator_words());
  const PlainOutputs expected = plain_many(c, kInstances, a, {}, b);
  Tampering pair(target, std::move(change));
  const Counting count(pair, messages);
  try {
    pair.set_up();
    const PlainOutputs phases = pair.run_in_phases(circuit(), kInstances, a, {}, b);
    const PlainOutputs once = pair.run(circuit(), kInstances, a, {}, b);
    for (const PlainOutputs* out : {&phases, &once}) {
      for (const Word word : out->garbler) CHECK(word <= 1);
      if (out->evaluator != expected.evaluator || out->garbler != expected.garbler) {
        return Outcome::Wrong;
      }
    }
    return Outcome::Right;
  } catch (const ProtocolError&) {
    return Outcome::Refused;
  }
}

void flip_bit(Message& message, std::size_t from, std::size_t bytes) {
  const std::size_t bit = rng()() % (8 * bytes);
  message[from + bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
}

/// A field of a message of the evaluator, by the message's place and the bytes after its header.
struct Field {
  std::size_t target;
  std::size_t from;
  std::size_t bytes;
};

/// What the evaluator says but its masked inputs: a flip is found, and the garbler says no more.
void fields_of_the_evaluator() {
  const std::size_t corrections = correction_bytes(kInstances * 3 * 12);
  const std::size_t sums = kBaseTransfers * 2 * sizeof(Block);
  const std::size_t checks = kShallowTrees.trees() * kLeafCheckBytes;
  std::vector<Field> fields = {{0, 0, kPointBytes},
                               {2, sums, checks},
                               {2, sums + checks, sizeof(Digest)},
                               {7, 0, kInstances * sizeof(Block)},
                               {10, 0, kInstances * sizeof(Block)}};
  for (const std::size_t choice : {3U, 8U}) {
    fields.push_back({choice, 0, corrections});
    fields.push_back({choice, corrections, sizeof(Block)});
    fields.push_back({choice, corrections + sizeof(Block), sizeof(Digest)});
  }
  for (const Field& field : fields) {
    for (int i = 0; i < 6; ++i) {
      std::size_t seen = 0;
      const auto flip = [&](Message& m) { flip_bit(m, kHeaderBytes + field.from, field.bytes); };
      CHECK(play(field.target, flip, &seen) == Outcome::Refused);
      CHECK(seen == field.target + 1);
    }
  }
  // Of each pair of sums the garbler reads one, and its difference says which. A flip in the other
  // is found with the first choices: both ends hash what was said.
  for (int i = 0; i < 12; ++i) {
    std::size_t seen = 0;
    const auto flip = [&](Message& m) { flip_bit(m, kHeaderBytes, sums); };
    CHECK(play(2, flip, &seen) == Outcome::Refused);
    CHECK(seen == 3 || seen == 4);
  }
}

void old_versions_are_told() {
  Message offer(kSetupOfferBytes), choice(kSetupChoiceBytes);
  EvaluatorSession().setup_offer(offer);
  offer[offsetof(Header, version)] = 1;
  try {
    GarblerSession().setup_choose(offer, choice);
    CHECK(false);
  } catch (const ProtocolError& error) {
    CHECK(std::string(error.what()).find("version 1") != std::string::npos);
  }
}

}  // namespace

int main() {
  return run_tests([] {
    std::size_t messages = 0;
    const auto nothing = [](Message&) {};
    CHECK(play(~std::size_t{0}, nothing, &messages) == Outcome::Right);
    CHECK(messages == 3 + 2 + 2 + 1 + 2 + 1);
    std::size_t wrong = 0;
    for (std::size_t target = 0; target < messages; ++target) {
      CHECK(play(target, [](Message& m) { m.clear(); }) == Outcome::Refused);
      CHECK(play(target, [](Message& m) { m.pop_back(); }) == Outcome::Refused);
      CHECK(play(target, [](Message& m) { m.resize(kHeaderBytes - 1); }) == Outcome::Refused);
      CHECK(play(target, [](Message& m) { m.push_back(0); }) == Outcome::Refused);
      CHECK(play(target, [](Message& m) { m.resize(m.size() + (1U << 20U)); }) == Outcome::Refused);
      for (std::size_t byte = 0; byte < kHeaderBytes; byte += 3) {
        CHECK(play(target, [byte](Message& m) { m[byte] ^= 0x10; }) == Outcome::Refused);
      }
      for (int i = 0; i < 8; ++i) {
        const auto flip = [](Message& m) { flip_bit(m, kHeaderBytes, m.size() - kHeaderBytes); };
        if (play(target, flip) == Outcome::Wrong) ++wrong;
      }
    }
    CHECK(wrong > 0);  // else the flips would not reach the body
    fields_of_the_evaluator();
    old_versions_are_told();

    // A session that met an error refuses to go on: its ends are out of step.
    Tampering pair(3, [](Message& m) { m.pop_back(); });
    pair.set_up();
    const auto a = random_words(6), b = random_words(3);
    CHECK_THROWS(ProtocolError, (void)pair.run(circuit(), 1, a, {}, b));
    CHECK_THROWS(StateError, (void)pair.garbler.run(circuit(), 1, a, {}));
  });
}
