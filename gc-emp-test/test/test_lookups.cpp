// ReLU with a shift by table look-ups: exact for all shares of small rings and at the edges of
// large ones, on every path; its figures; every message truncated, lengthened and bent.

#include <algorithm>
#include <functional>

#include "check.hpp"
#include "errors.hpp"
#include "lookup_pads.hpp"
#include "lookup_pair.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

/// relu(a + b) >> shift, less the mask, modulo 2^ring_bits.
Word expected(std::size_t ring_bits, std::size_t shift, Word a, Word b, Word mask) {
  const Word x = low_bits(a + b, ring_bits);
  const Word value = bit_at(x, ring_bits - 1) != 0 ? 0 : x >> shift;
  return low_bits(value - mask, ring_bits);
}

void check_relus(LookupPair& pair, std::size_t ring_bits, std::size_t shift,
                 const std::vector<Word>& a, const std::vector<Word>& b) {
  const std::vector<Word> masks = random_words(a.size());
  const auto out = pair.run(ReluPlan(ring_bits, shift), masks, a, b);
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(out[i] == expected(ring_bits, shift, a[i], b[i], masks[i]));
  }
}

void all_shares_of_small_rings(LookupPair& pair) {
  for (std::size_t ring_bits = 2; ring_bits <= 6; ++ring_bits) {
    std::vector<Word> a, b;
    for (Word x = 0; x < Word{1} << ring_bits; ++x) {
      for (Word y = 0; y < Word{1} << ring_bits; ++y) {
        a.push_back(x);
        b.push_back(y);
      }
    }
    for (std::size_t shift = 0; shift + 2 <= ring_bits; ++shift) {
      check_relus(pair, ring_bits, shift, a, b);
    }
  }
}

/// Values around 0, around the ring's ends and around powers of two, in shares that are random or
/// at an edge themselves.
void edges(LookupPair& pair, std::size_t ring_bits, std::size_t shift) {
  std::vector<Word> values = {0};
  for (const std::size_t bit : {shift, shift + 1, ring_bits - 2, ring_bits - 1}) {
    values.push_back(Word{1} << bit);
  }
  std::vector<Word> a, b;
  for (const Word value : values) {
    for (const Word near : {value - 1, value, value + 1}) {
      for (const Word share : values) {
        a.push_back(share);
        b.push_back(near - share);
        b.push_back(share - 1);
        a.push_back(near - share + 1);
      }
      for (int i = 0; i < 4; ++i) {
        a.push_back(rng()());
        b.push_back(near - a.back());
      }
    }
  }
  check_relus(pair, ring_bits, shift, a, b);
}

void large_rings(LookupPair& pair) {
  for (const std::size_t ring_bits : {7U, 8U, 16U, 31U, 37U, 47U, 63U, 64U}) {
    for (const std::size_t shift :
         {std::size_t{0}, std::size_t{1}, ring_bits / 3, ring_bits / 2, ring_bits - 2}) {
      edges(pair, ring_bits, shift);
    }
  }
  check_relus(pair, 37, 12, random_words(2500), random_words(2500));  // several chunks
}

void paths() {
  const Path best = best_path();
  for (const auto& [holder, chooser] : {std::pair(Path::Portable, best), {best, Path::Portable}}) {
    LookupPair pair(holder, chooser);
    pair.set_up();
    check_relus(pair, 37, 12, random_words(300), random_words(300));
  }
  if (!is_supported(Path::AesNi)) return;
  LookupPair pair(Path::AesNi, Path::AesNi);
  pair.set_up();
  check_relus(pair, 37, 12, random_words(300), random_words(300));
}

void every_plan_fits() {
  for (std::size_t ring_bits = 2; ring_bits <= 64; ++ring_bits) {
    for (std::size_t shift = 0; shift + 2 <= ring_bits; ++shift) {
      const ReluPlan plan(ring_bits, shift);
      std::size_t nodes = 0;
      for (const auto& step : plan.steps()) {
        CHECK(!step.empty());
        std::size_t noise = 0;
        for (const Lookup& lookup : step) {
          CHECK(lookup.choice_bits >= 1 && lookup.choice_bits <= kMaxChoiceBits);
          if (lookup.kind == Lookup::Kind::Select) continue;
          CHECK(lookup.node == nodes++);
          noise += lookup.message_bits;
        }
        CHECK(noise <= 64);  // one word of noise serves an instance's step
      }
      CHECK(nodes <= kNoNode);
      CHECK(plan.carry_node() < nodes);
      CHECK((plan.low_node() < nodes) == (shift > 0));
    }
  }
  CHECK_THROWS(UsageError, ReluPlan(1, 0));
  CHECK_THROWS(UsageError, ReluPlan(65, 0));
  CHECK_THROWS(UsageError, ReluPlan(37, 36));
}

void figures() {
  const ReluPlan plan(37, 12);
  CHECK(plan.steps().size() == 4);  // leaves, two levels of merges, the selection
  CHECK(plan.lookups() == 9 + 3 + 1 + 1);
  CHECK(plan.transfers() == 37 - 1 + (4 + 5 + 5) + 4 + 3);
  const auto [holder_offline, chooser_offline] = plan.offline_bytes(kLookupChunk);
  CHECK(holder_offline == kHeaderBytes + choice_body_bytes(kLookupChunk));
  CHECK(chooser_offline == kHeaderBytes + choice_body_bytes(kLookupChunk * plan.transfers()));
}

/// The field behind the pads, and that each entry has a tweak of its own.
void pads() {
  CHECK(times_x({0, std::uint64_t{1} << 63U}) == (Block{0x87, 0}));
  CHECK(times_x({std::uint64_t{1} << 63U, 0}) == (Block{0, 1}));
  const Block delta{rng()(), rng()()};
  const Multiples multiples = multiples_of(delta);
  Block labels[kMaxChoiceBits];
  for (std::size_t j = 0; j < kMaxEntries; ++j) {
    for (std::size_t i = 0; i < kMaxChoiceBits; ++i) labels[i] = select(j >> i, delta);
    CHECK(polynomial(labels, kMaxChoiceBits) == multiples[j]);
  }
  const ReluPlan plan(37, 12);
  std::uint64_t next = 0;
  for (std::size_t instance = 0; instance < 3; ++instance) {
    for (const auto& step : plan.steps()) {
      for (const Lookup& lookup : step) {
        CHECK(lookup_tweak(plan, instance, lookup) == next);
        next += kMaxEntries;
      }
    }
  }
  CHECK(back_tweak(plan, 3, 0) == next);
  CHECK(tweaks_of(plan, 3) == next + 6);
}

/// What the chooser gets is uniform whatever the shares are, and so is what it says: with 20,000
/// instances each bit is set within 6 standard deviations of half of the time, or a test of some
/// 300 bits fails with probability below 10^-6.
class Watching : public LookupPair {
 public:
  void tamper(Message& message) override { messages.push_back(message); }
  std::vector<Message> messages;
};

void uniform_messages() {
  constexpr std::size_t kCount = 20000;
  const ReluPlan plan(37, 12);
  Watching pair;
  pair.set_up();
  const std::vector<Word> same(kCount, 12345);
  const auto holder = pair.holder.prepare(plan, random_words(kCount));
  const auto chooser = pair.chooser.prepare(plan, kCount);
  pair.prepare(*holder, *chooser);
  const auto out = pair.evaluate(*holder, *chooser, same, same);
  const auto balanced = [&](std::size_t ones) {
    return ones > kCount / 2 - 424 && ones < kCount / 2 + 424;
  };
  for (std::size_t bit = 0; bit < 37; ++bit) {
    std::size_t ones = 0;
    for (const Word word : out) ones += bit_at(word, bit);
    CHECK(balanced(ones));
  }
  for (const auto& step : plan.steps()) {
    for (const Lookup& lookup : step) {
      if (lookup.kind == Lookup::Kind::Select) continue;
      std::size_t greater = 0, equal = 0;
      for (const NodeBits& nodes : chooser->node_shares()) {
        greater += bit_at(nodes.greater, lookup.node);
        equal += bit_at(nodes.equal, lookup.node);
      }
      CHECK(balanced(greater));
      CHECK(lookup.with_equal ? balanced(equal) : equal == 0);
    }
  }
  const std::size_t first = pair.messages.size() - 2 * plan.steps().size();
  for (std::size_t step = 0; step < plan.steps().size(); ++step) {
    const Message& choose = pair.messages[first + 2 * step];
    const std::size_t bits = (choose.size() - kHeaderBytes) * 8 / kCount;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      std::size_t ones = 0;
      for (std::size_t i = 0; i < kCount; ++i) {
        const std::size_t at = i * bits + bit;
        ones += bit_at(choose[kHeaderBytes + at / 8], at % 8);
      }
      CHECK(balanced(ones));
    }
  }
}

class Tampering : public LookupPair {
 public:
  Tampering(std::size_t target, std::function<void(Message&)> change)
      : target_(target), change_(std::move(change)) {}
  void tamper(Message& message) override {
    if (seen++ == target_) change_(message);
  }
  std::size_t seen = 0;

 private:
  std::size_t target_;
  std::function<void(Message&)> change_;
};

enum class Outcome { Right, Wrong, Refused };

/// Set-up and one batch: every type of message.
Outcome play(std::size_t target, const std::function<void(Message&)>& change,
             std::size_t* messages = nullptr) {
  constexpr std::size_t kCount = 5;
  const ReluPlan plan(9, 3);
  const auto a = random_words(kCount), b = random_words(kCount), masks = random_words(kCount);
  Tampering pair(target, change);
  Outcome outcome = Outcome::Right;
  try {
    pair.set_up();
    const auto out = pair.run(plan, masks, a, b);
    for (std::size_t i = 0; i < kCount; ++i) {
      CHECK(out[i] < Word{1} << 9U);
      if (out[i] != expected(9, 3, a[i], b[i], masks[i])) outcome = Outcome::Wrong;
    }
  } catch (const ProtocolError&) {
    outcome = Outcome::Refused;
  }
  if (messages != nullptr) *messages = pair.seen;
  return outcome;
}

void flip_bit(Message& message, std::size_t from, std::size_t end) {
  const std::size_t bit = rng()() % (8 * (end - from));
  message[from + bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
}

void corruption() {
  std::size_t messages = 0;
  CHECK(play(
            ~std::size_t{0}, [](Message&) {}, &messages) == Outcome::Right);
  const std::size_t steps = ReluPlan(9, 3).steps().size();
  CHECK(messages == 4 + 2 + 2 * steps);
  for (std::size_t target = 0; target < messages; ++target) {
    CHECK(play(target, [](Message& m) { m.clear(); }) == Outcome::Refused);
    CHECK(play(target, [](Message& m) { m.pop_back(); }) == Outcome::Refused);
    CHECK(play(target, [](Message& m) { m.push_back(0); }) == Outcome::Refused);
    for (std::size_t byte = 0; byte < kHeaderBytes; byte += 8) {
      CHECK(play(target, [byte](Message& m) { m[byte] ^= 0x10; }) == Outcome::Refused);
    }
  }
  // Corrections are checked before anything is made of them, from either side, and so is all of
  // the set-up that was said before.
  for (std::size_t target = 0; target < 6; ++target) {
    for (int i = 0; i < 3; ++i) {
      const auto flip = [](Message& m) { flip_bit(m, kHeaderBytes, m.size()); };
      CHECK(play(target, flip) == Outcome::Refused);
    }
  }
  std::size_t wrong = 0;
  for (std::size_t target = 6; target < messages; ++target) {
    for (int i = 0; i < 3; ++i) {
      const auto flip = [](Message& m) { flip_bit(m, kHeaderBytes, m.size()); };
      const Outcome outcome = play(target, flip);
      CHECK(outcome != Outcome::Refused);
      if (outcome == Outcome::Wrong) ++wrong;
    }
  }
  CHECK(wrong > 0);  // else the flips would not reach what is used
}

void order() {
  LookupPair pair;
  const ReluPlan plan(8, 2);
  const std::vector<Word> words(3);
  CHECK_THROWS(StateError, (void)pair.holder.prepare(plan, words));
  CHECK_THROWS(StateError, (void)pair.chooser.prepare(plan, 3));
  pair.set_up();
  Message offer(kLookupOfferBytes), choice(kLookupChoiceBytes);
  CHECK_THROWS(StateError, pair.chooser.setup_offer(offer));
  CHECK_THROWS(StateError, pair.holder.setup_choose(offer, choice));
  CHECK_THROWS(UsageError, (void)pair.chooser.prepare(plan, 0));
  CHECK_THROWS(UsageError, (void)pair.chooser.prepare(plan, kMaxLookupInstances + 1));
  const auto h = pair.holder.prepare(plan, words);
  const auto c = pair.chooser.prepare(plan, 3);
  Message chosen(plan.choose_bytes(3, 0)), table(plan.table_bytes(3, 0));
  Message correlations(plan.correlate_bytes(3, 0));
  CHECK_THROWS(StateError, c->correlate(correlations));
  CHECK_THROWS(StateError, h->begin(words));
  pair.prepare(*h, *c);
  CHECK_THROWS(StateError, c->choose(chosen));
  CHECK_THROWS(StateError, h->answer(chosen, table));
  CHECK_THROWS(StateError, (void)c->outputs());
  CHECK_THROWS(StateError, c->take_table(table));
  (void)pair.evaluate(*h, *c, words, words);
  CHECK_THROWS(StateError, h->begin(words));
  CHECK_THROWS(StateError, c->begin(words));
  // Batches are prepared ahead and used in order.
  const auto h1 = pair.holder.prepare(plan, words);
  const auto c1 = pair.chooser.prepare(plan, 3);
  pair.prepare(*h1, *c1);
  const auto h2 = pair.holder.prepare(plan, words);
  const auto c2 = pair.chooser.prepare(plan, 3);
  pair.prepare(*h2, *c2);
  (void)pair.evaluate(*h2, *c2, words, words);
  CHECK_THROWS(StateError, h1->begin(words));
  CHECK_THROWS(StateError, c1->begin(words));
  // After an error a session refuses to go on.
  const auto h3 = pair.holder.prepare(plan, words);
  const auto c3 = pair.chooser.prepare(plan, 3);
  CHECK_THROWS(ProtocolError, c3->take_back(chosen));
  CHECK_THROWS(StateError, (void)pair.chooser.prepare(plan, 3));
}

}  // namespace

int main() {
  return run_tests([] {
    every_plan_fits();
    figures();
    pads();
    LookupPair pair;
    pair.set_up();
    all_shares_of_small_rings(pair);
    large_rings(pair);
    paths();
    uniform_messages();
    corruption();
    order();
  });
}
