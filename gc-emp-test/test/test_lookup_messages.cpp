// The messages of look-ups: uniform whatever the shares are; each truncated, lengthened and bent;
// calls of sessions and batches out of their order.

#include <functional>

#include "check.hpp"
#include "errors.hpp"
#include "lookup_functions.hpp"
#include "lookup_pair.hpp"
#include "maximum_plan.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

/// What the chooser gets is uniform whatever the shares are, and so is what it says, and so are
/// the tables: with 20,000 instances each bit is set within 6 standard deviations of half of the
/// time, or a test of some 600 bits fails with probability below 2 10^-6.
class Watching : public LookupPair {
 public:
  void tamper(Message& message) override { messages.push_back(message); }
  std::vector<Message> messages;
};

/// Bits of a look-up that stand slice by slice in a message: all but the numbers.
std::size_t sliced_bits(const Lookup& lookup, bool from_holder) {
  if (lookup.is_node()) return from_holder ? lookup.table_bits : lookup.choose_bits;
  return from_holder ? 0 : lookup.table.choice_bits;
}

void uniform_messages(const LookupPlan& plan) {
  constexpr std::size_t kCount = 20000;
  Watching pair;
  pair.set_up();
  const std::vector<Word> same(kCount * plan.inputs(), 12345);
  const auto holder = pair.holder.prepare(plan, random_words(kCount));
  const auto chooser = pair.chooser.prepare(plan, kCount);
  pair.prepare(*holder, *chooser);
  const auto out = pair.evaluate(*holder, *chooser, same, same);
  const auto balanced = [&](std::size_t ones) {
    return ones > kCount / 2 - 424 && ones < kCount / 2 + 424;
  };
  for (std::size_t bit = 0; bit < plan.output_bits(); ++bit) {
    std::size_t ones = 0;
    for (const Word word : out) ones += bit_at(word, bit);
    CHECK(balanced(ones));
  }
  for (const auto& step : plan.steps()) {
    for (const Lookup& lookup : step) {
      if (lookup.table.has_numbers) continue;
      for (std::size_t r = 0; r < lookup.result_count; ++r) {
        std::size_t greater = 0, equal = 0;
        for (std::size_t i = 0; i < kCount; ++i) {
          greater += chooser->node_shares().greater(lookup.results[r].node, i);
          equal += chooser->node_shares().equal(lookup.results[r].node, i);
        }
        CHECK(balanced(greater));
        CHECK(lookup.with_equal ? balanced(equal) : equal == 0);
      }
    }
  }
  const std::size_t first = pair.messages.size() - 2 * plan.steps().size();
  for (std::size_t step = 0; step < plan.steps().size(); ++step) {
    for (const bool from_holder : {false, true}) {
      const Message& message = pair.messages[first + 2 * step + (from_holder ? 1 : 0)];
      std::size_t start = 0;
      for (const Lookup& lookup : plan.steps()[step]) {
        const std::size_t bits = from_holder ? lookup.table_bits : lookup.choose_bits;
        const std::size_t sliced = sliced_bits(lookup, from_holder);
        std::vector<std::size_t> ones(bits);
        for_each_slice(kCount, [&](std::size_t /*slice*/, std::size_t count) {
          for (std::size_t i = 0; i < bits * count; ++i, ++start) {
            const std::size_t rest = i - std::min(i, sliced * count);
            const std::size_t bit =
                i < sliced * count ? i / count : sliced + rest % (bits - sliced);
            ones[bit] += bit_at(message[kHeaderBytes + start / 8], start % 8);
          }
        });
        for (const std::size_t count : ones) CHECK(balanced(count));
      }
    }
  }
}

class Tampering : public LookupPair {
 public:
  Tampering(const TreeShape& tree_shape, std::size_t target, std::function<void(Message&)> change)
      : LookupPair(tree_shape), target_(target), change_(std::move(change)) {}
  void tamper(Message& message) override {
    if (seen++ == target_) change_(message);
  }
  std::size_t seen = 0;

 private:
  std::size_t target_;
  std::function<void(Message&)> change_;
};

constexpr std::size_t kSetupMessages = 4;
constexpr std::size_t kForwardRounds = 2;  // of silent transfers, for what `play` plays
constexpr std::size_t kBackRounds = 1;

enum class Outcome { Right, Wrong, Refused };

/// Set-up and one batch: every type of message, several rounds of silent transfers among them.
Outcome play(const Function& function, Source source, std::size_t target,
             const std::function<void(Message&)>& change, std::size_t* messages = nullptr,
             const TreeShape& shape = kShallowTrees) {
  const std::size_t kCount = source == Source::Stock ? 50 : 5;
  const auto a = random_words(kCount), b = random_words(kCount), masks = random_words(kCount);
  Tampering pair(shape, target, change);
  Outcome outcome = Outcome::Right;
  try {
    pair.set_up();
    const auto out = pair.run(function.plan, masks, a, b, source);
    for (std::size_t i = 0; i < kCount; ++i) {
      CHECK(out[i] < Word{1} << function.plan.output_bits());
      if (out[i] != expected(function, a[i], b[i], masks[i])) outcome = Outcome::Wrong;
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

/// Flips in the messages of every step: wrong outputs, in their ring. `before` messages come
/// before.
void flips_in_steps(const Function& function, Source source, std::size_t before) {
  std::size_t wrong = 0;
  for (std::size_t step = 0; step < 2 * function.plan.steps().size(); ++step) {
    for (int i = 0; i < 3; ++i) {
      const Outcome outcome = play(function, source, before + step,
                                   [](Message& m) { flip_bit(m, kHeaderBytes, m.size()); });
      CHECK(outcome != Outcome::Refused);
      if (outcome == Outcome::Wrong) ++wrong;
    }
  }
  CHECK(wrong > 0);  // else the flips would not reach what is used
}

/// `before` messages come before the first Choose message.
void corruption(const Function& function, Source source, std::size_t before) {
  const auto flip = [](Message& m) { flip_bit(m, kHeaderBytes, m.size()); };
  std::size_t messages = 0;
  CHECK(play(
            function, source, ~std::size_t{0}, [](Message&) {}, &messages) == Outcome::Right);
  CHECK(messages == before + 2 * function.plan.steps().size());
  // The set-up and the steps are the same from either source.
  const std::size_t first = source == Source::Stock ? kSetupMessages : 0;
  const std::size_t end = source == Source::Stock ? before : messages;
  for (std::size_t target = first; target < end; ++target) {
    CHECK(play(function, source, target, [](Message& m) { m.clear(); }) == Outcome::Refused);
    CHECK(play(function, source, target, [](Message& m) { m.pop_back(); }) == Outcome::Refused);
    CHECK(play(function, source, target, [](Message& m) { m.push_back(0); }) == Outcome::Refused);
    for (std::size_t byte = 0; byte < kHeaderBytes; byte += 12) {
      CHECK(play(function, source, target, [byte](Message& m) { m[byte] ^= 0x10; }) ==
            Outcome::Refused);
    }
  }
  // Transfers are checked before anything is made of them, from either side, and so is all of the
  // set-up that was said before.
  for (std::size_t target = first; target < before; ++target) {
    for (int i = 0; i < 2; ++i) CHECK(play(function, source, target, flip) == Outcome::Refused);
  }
  if (end > before) flips_in_steps(function, source, before);
}

/// Deep trees' messages of transfers and set-up, but for their headers: the steps are the same.
void corruption_of_deep_trees(Source source, std::size_t before) {
  const auto flip = [](Message& m) { flip_bit(m, kHeaderBytes, m.size()); };
  for (std::size_t target = 0; target < before; ++target) {
    CHECK(play(relu(9, 3, 9), source, target, flip, nullptr, kDeepTrees) == Outcome::Refused);
  }
}

void order() {
  LookupPair pair;
  const LookupPlan plan = relu_plan(8, 2, 8);
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
  CHECK_THROWS(StateError, h->begin(words));
  CHECK_THROWS(StateError, h->draw());
  CHECK_THROWS(StateError, c->draw_back());
  // Several batches are under way at once, and come in order.
  const auto later = pair.holder.prepare(plan, words);
  const auto other = pair.chooser.prepare(plan, 3);
  Message back(plan.back_bytes(3));
  CHECK_THROWS(StateError, later->correct(back));
  CHECK_THROWS(StateError, other->correlate(correlations));
  pair.prepare(*h, *c);
  CHECK_THROWS(StateError, c->choose(chosen));
  CHECK_THROWS(StateError, h->answer(chosen, table));
  CHECK_THROWS(StateError, (void)c->outputs());
  CHECK_THROWS(StateError, c->take_table(table));
  (void)pair.evaluate(*h, *c, words, words);
  CHECK_THROWS(StateError, h->begin(words));
  CHECK_THROWS(StateError, c->begin(words));
  // Batches are prepared ahead and used in order.
  pair.prepare(*later, *other);
  CHECK_THROWS(StateError, other->correlate(correlations));
  CHECK_THROWS(StateError, later->correct(back));
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

/// Neither end begins with transfers that it received before their proof is there.
void proofs_come_first() {
  LookupPair pair;
  pair.set_up();
  const LookupPlan plan = relu_plan(8, 2, 8);
  const std::vector<Word> words(3);
  const auto h = pair.holder.prepare(plan, words, Source::Stock);
  const auto c = pair.chooser.prepare(plan, 3, Source::Stock);
  pair.grow(pair.holder.stock(), pair.chooser.stock());
  pair.grow(pair.chooser.stock_back(), pair.holder.stock_back());
  h->draw(), c->draw();
  h->draw_back(), c->draw_back();
  CHECK(h->is_prepared() && c->is_prepared());
  CHECK_THROWS(StateError, h->begin(words));
  CHECK_THROWS(StateError, c->begin(words));
  pair.prove(pair.holder.stock(), pair.chooser.stock());
  CHECK_THROWS(StateError, h->begin(words));
  c->begin(words);
  pair.prove(pair.chooser.stock_back(), pair.holder.stock_back());
  h->begin(words);
}

}  // namespace

int main() {
  return run_tests([] {
    uniform_messages(relu_plan(37, 12, 37));
    uniform_messages(bounded_relu_plan(37, 12, 24576, 16));
    uniform_messages(rescale_plan(20, 7));
    uniform_messages(maximum_plan(16, 4, 37));
    uniform_messages(maximum_plan(18, 3, 18));
    corruption(relu(9, 3, 9), Source::Corrections, kSetupMessages + 2);
    // In each direction the seeds, and rounds of three messages.
    corruption(relu(9, 3, 9), Source::Stock,
               kSetupMessages + 2 + 3 * (kForwardRounds + kBackRounds));
    flips_in_steps(bounded_relu(9, 3, 20, 6), Source::Corrections, kSetupMessages + 2);
    flips_in_steps(rescale(9, 3), Source::Corrections, kSetupMessages + 2);
    corruption_of_deep_trees(Source::Corrections, kSetupMessages + 2);
    corruption_of_deep_trees(Source::Stock, kSetupMessages + 1);
    proofs_come_first();
    order();
  });
}
