// Functions by table look-ups: exact for all shares of small rings and at the edges of large ones,
// on every path, in trees of either shape and from either source of transfers.

#include <algorithm>

#include "check.hpp"
#include "errors.hpp"
#include "lookup_functions.hpp"
#include "lookup_pair.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

void check(LookupPair& pair, const Function& function, const std::vector<Word>& a,
           const std::vector<Word>& b, Source source = Source::Corrections) {
  const std::vector<Word> masks = random_words(a.size());
  const auto out = pair.run(function.plan, masks, a, b, source);
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(out[i] == expected(function, a[i], b[i], masks[i]));
  }
}

void check_relus(LookupPair& pair, std::size_t ring_bits, std::size_t shift,
                 const std::vector<Word>& a, const std::vector<Word>& b,
                 Source source = Source::Corrections) {
  check(pair, relu(ring_bits, shift, ring_bits), a, b, source);
}

/// The shares of every number in every way.
std::pair<std::vector<Word>, std::vector<Word>> all_shares(std::size_t ring_bits) {
  std::vector<Word> a, b;
  for (Word x = 0; x < Word{1} << ring_bits; ++x) {
    for (Word y = 0; y < Word{1} << ring_bits; ++y) {
      a.push_back(x);
      b.push_back(y);
    }
  }
  return {a, b};
}

void all_shares_of_small_rings(LookupPair& pair) {
  for (std::size_t ring_bits = 2; ring_bits <= 6; ++ring_bits) {
    const auto [a, b] = all_shares(ring_bits);
    for (std::size_t shift = 0; shift + 2 <= ring_bits; ++shift) {
      check_relus(pair, ring_bits, shift, a, b);
      check(pair, relu(ring_bits, shift, 1 + shift), a, b);
      if (shift > 0) check(pair, rescale(ring_bits, shift), a, b);
      check(pair, step(ring_bits, shift), a, b);
      const Word caps = ring_bits == 6 ? 2 : (Word{1} << (ring_bits - 1 - shift)) - 1;
      for (Word cap = 1; cap <= caps && cap >> (ring_bits - 1 - shift) == 0; ++cap) {
        check(pair, bounded_relu(ring_bits, shift, cap, ring_bits), a, b);
        check(pair, bounded_relu(ring_bits, shift, cap, 1 + cap % ring_bits), a, b);
      }
    }
  }
}

/// The lower half of a ring in a larger one.
void widened_numbers(LookupPair& pair) {
  for (const auto& [small, large] :
       {std::pair{2U, 3U}, {2U, 64U}, {5U, 37U}, {7U, 8U}, {63U, 64U}}) {
    std::vector<Word> a, b;
    const Word most = (Word{1} << (small - 1)) - 1;
    for (Word i = 0; i < 300; ++i) {
      const Word value = i < 64 ? std::min(i, most) : i < 128 ? most : rng()() & most;
      a.push_back(i % 2 == 0 ? rng()() : value - i / 2);
      b.push_back(value - a.back());
    }
    check(pair, {widened_plan(small, large), [](Word x) { return x; }}, a, b);
  }
}

/// Values around 0, around the ring's ends, around powers of two and `special` ones, in shares that
/// are random or at an edge themselves.
void edges(LookupPair& pair, const Function& function, std::size_t shift,
           const std::vector<Word>& special = {}) {
  const std::size_t ring_bits = function.plan.ring_bits();
  std::vector<Word> values = {0};
  values.insert(values.end(), special.begin(), special.end());
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
  check(pair, function, a, b);
}

void large_rings(LookupPair& pair) {
  for (const std::size_t ring_bits : {7U, 8U, 16U, 31U, 37U, 47U, 63U, 64U}) {
    for (const std::size_t shift :
         {std::size_t{0}, std::size_t{1}, ring_bits / 3, ring_bits / 2, ring_bits - 2}) {
      edges(pair, relu(ring_bits, shift, ring_bits), shift);
      if (shift > 0) edges(pair, rescale(ring_bits, shift), shift);
      edges(pair, step(ring_bits, shift), shift);
      const Word most = (Word{1} << (ring_bits - 1 - shift)) - 1;
      for (const Word cap : {(most + 1) / 2, most}) {
        const std::vector<Word> around = {cap << shift, Word{0} - (cap << shift)};
        edges(pair, bounded_relu(ring_bits, shift, cap, ring_bits), shift, around);
      }
    }
  }
  for (const std::size_t bits : {15U, 25U, 26U, 36U}) {  // with and without w
    edges(pair, relu(37, 12, bits), 12);
    edges(pair, bounded_relu(37, 12, 10000, bits), 12, {10000U << 12U});
  }
  check_relus(pair, 37, 12, random_words(2500), random_words(2500));  // several chunks
}

void paths() {
  const Path best = best_path();
  for (const auto& [holder, chooser] : {std::pair(Path::Portable, best), {best, Path::Portable}}) {
    LookupPair pair(holder, chooser);
    pair.set_up();
    check_relus(pair, 37, 12, random_words(300), random_words(300));
    check(pair, bounded_relu(37, 12, 70000, 18), random_words(300), random_words(300));
  }
  if (!is_supported(Path::AesNi)) return;
  LookupPair pair(Path::AesNi, Path::AesNi);
  pair.set_up();
  check_relus(pair, 37, 12, random_words(300), random_words(300));
  check(pair, bounded_relu(37, 12, 70000, 18), random_words(300), random_words(300));
}

/// With 2 bytes a transfer, from either source.
void deep_trees() {
  LookupPair pair(kDeepTrees);
  pair.set_up();
  check_relus(pair, 37, 12, random_words(1100), random_words(1100));  // two chunks
  check_relus(pair, 37, 12, random_words(20), random_words(20), Source::Stock);
  // Ends with trees of different shapes do not come together.
  Message offer(kLookupOfferBytes), choice(kLookupChoiceBytes);
  ChooserSession().setup_offer(offer);
  CHECK_THROWS(ProtocolError,
               HolderSession(best_path(), kFew, kDeepTrees).setup_choose(offer, choice));
}

/// From the stocks, over several rounds in both directions, beside batches that do without.
void stocks() {
  LookupPair pair;
  pair.set_up();
  for (const std::size_t count : {1U, 5U, 100U, 3U}) {
    check_relus(pair, 37, 12, random_words(count), random_words(count), Source::Stock);
    check_relus(pair, 13, 0, random_words(count), random_words(count));
    check_relus(pair, 20, 7, random_words(count), random_words(count), Source::Stock);
    const Function widened{widened_plan(40, 41), [](Word x) { return x; }};  // of no transfers back
    std::vector<Word> small = random_words(count);
    for (Word& word : small) word = low_bits(word, 39);
    check(pair, widened, std::vector<Word>(count), small, Source::Stock);
  }
  CHECK(pair.holder.stock().transfers().round() >= 8);
  CHECK(pair.holder.stock_back().transfers().round() >= 2);
  const LookupPlan plan = relu_plan(8, 2, 8);
  const auto h = pair.holder.prepare(plan, random_words(1), Source::Stock);
  const auto c = pair.chooser.prepare(plan, 1, Source::Stock);
  Message back(plan.back_bytes(1));
  CHECK_THROWS(StateError, h->correct(back));
  CHECK_THROWS(StateError, c->take_back(back));
  pair.draw(*h, *c);
  const auto other = pair.holder.prepare(plan, random_words(1));
  CHECK_THROWS(StateError, other->draw());
}

}  // namespace

int main() {
  return run_tests([] {
    LookupPair pair;
    pair.set_up();
    all_shares_of_small_rings(pair);
    large_rings(pair);
    widened_numbers(pair);
    paths();
    deep_trees();
    stocks();
  });
}
