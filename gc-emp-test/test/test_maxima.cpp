// The greatest of two to four numbers by table look-ups: exact for all numbers of small rings and
// for their edges in large ones, on every path and from either source of transfers.

#include <algorithm>

#include "check.hpp"
#include "errors.hpp"
#include "lookup_pair.hpp"
#include "maximum_plan.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

using Numbers = std::vector<std::int64_t>;  // of the instances, one after the other

/// The greatest of each instance's numbers, in random shares, or in those of the holder that are
/// given.
void check(LookupPair& pair, const LookupPlan& plan, const Numbers& numbers,
           std::vector<Word> a = {}, Source source = Source::Corrections) {
  if (a.empty()) a = random_words(numbers.size());
  std::vector<Word> b;
  for (std::size_t i = 0; i < a.size(); ++i) b.push_back(static_cast<Word>(numbers[i]) - a[i]);
  const std::vector<Word> masks = random_words(numbers.size() / plan.inputs());
  const auto out = pair.run(plan, masks, a, b, source);
  for (std::size_t i = 0; i < masks.size(); ++i) {
    const auto first = numbers.begin() + static_cast<std::ptrdiff_t>(i * plan.inputs());
    const auto greatest =
        *std::max_element(first, first + static_cast<std::ptrdiff_t>(plan.inputs()));
    CHECK(out[i] == low_bits(static_cast<Word>(greatest) - masks[i], plan.output_bits()));
  }
}

/// `digits` runs through all its values below `base`.
bool count_up(std::vector<Word>& digits, Word base) {
  for (Word& digit : digits) {
    if (++digit < base) return true;
    digit = 0;
  }
  return false;
}

/// All numbers in the lower half of a small ring, with all of the holder's shares for two numbers.
void small_rings(LookupPair& pair) {
  for (const auto& [ring_bits, inputs, all_shares] : {std::tuple{2U, 2U, true},
                                                      {3U, 2U, true},
                                                      {4U, 2U, true},
                                                      {2U, 3U, true},
                                                      {3U, 3U, true},
                                                      {4U, 3U, false},
                                                      {2U, 4U, true},
                                                      {3U, 4U, false},
                                                      {4U, 4U, false}}) {
    const Word count = Word{1} << (ring_bits - 1), size = 2 * count;
    Numbers numbers;
    std::vector<Word> a;
    std::vector<Word> digits(inputs);
    do {
      std::vector<Word> shares(inputs);
      do {
        numbers.insert(numbers.end(), digits.begin(), digits.end());
        a.insert(a.end(), shares.begin(), shares.end());
      } while (all_shares && count_up(shares, size));
    } while (count_up(digits, count));
    if (!all_shares) a = random_words(a.size());
    for (const std::size_t output_bits : {ring_bits, ring_bits + 1, 37U}) {
      check(pair, maximum_plan(ring_bits, inputs, output_bits), numbers, a);
    }
  }
}

/// Numbers next to one another and at the ends of what a maximum takes. With `small` they are not
/// negative.
Numbers edges(std::size_t ring_bits, std::size_t inputs, bool small) {
  const std::int64_t top = std::int64_t{1} << (ring_bits - (small ? 1 : 2));
  Numbers special = {0, 1, 2, 7, 8, 15, 16, top / 2 - 1, top / 2, top - 2, top - 1};
  if (!small) special.insert(special.end(), {-1, -8, -16, -top / 2, 1 - top, -top});
  const auto draw = [&] {
    const std::int64_t near = static_cast<std::int64_t>(rng()() % 3) - 1;
    const std::int64_t value = special[rng()() % special.size()] + near;
    return std::clamp(value, small ? 0 : -top, top - 1);
  };
  Numbers numbers;
  for (int i = 0; i < 300; ++i) {
    const std::int64_t same = draw();
    for (std::size_t k = 0; k < inputs; ++k) numbers.push_back(rng()() % 3 == 0 ? same : draw());
  }
  return numbers;
}

void large_rings(LookupPair& pair) {
  for (const std::size_t ring_bits : {6U, 7U, 16U, 17U, 18U, 21U, 22U, 26U, 30U}) {
    for (std::size_t inputs = 2; inputs <= kMaxMaximumInputs; ++inputs) {
      check(pair, maximum_plan(ring_bits, inputs, 37), edges(ring_bits, inputs, true));
      check(pair, maximum_plan(ring_bits, inputs, ring_bits), edges(ring_bits, inputs, false));
    }
  }
  for (const std::size_t ring_bits : {37U, 47U, 63U, 64U}) {
    for (std::size_t inputs = 2; inputs <= 3; ++inputs) {
      check(pair, maximum_plan(ring_bits, inputs, 64), edges(ring_bits - 1, inputs, true));
      check(pair, maximum_plan(ring_bits, inputs, ring_bits), edges(ring_bits, inputs, false));
    }
  }
}

void paths_and_sources() {
  std::vector<std::pair<Path, Path>> paths = {{Path::Portable, best_path()},
                                              {best_path(), Path::Portable}};
  if (is_supported(Path::AesNi)) paths.emplace_back(Path::AesNi, Path::AesNi);
  for (const auto& [holder, chooser] : paths) {
    LookupPair pair(holder, chooser);
    pair.set_up();
    check(pair, maximum_plan(16, 4, 37), edges(16, 4, true));
    check(pair, maximum_plan(20, 3, 20), edges(20, 3, false));  // merges of five nodes
  }
  LookupPair pair;
  pair.set_up();
  check(pair, maximum_plan(16, 4, 37), edges(16, 4, true), {}, Source::Stock);
  check(pair, maximum_plan(20, 2, 37), edges(20, 2, true), {}, Source::Stock);
}

/// What a step has, and what the documents say of the round trips.
void plans() {
  for (std::size_t ring_bits = 2; ring_bits <= 64; ++ring_bits) {
    for (std::size_t inputs = 2; inputs <= kMaxMaximumInputs; ++inputs) {
      if (inputs == 4 && ring_bits > 31) {
        CHECK_THROWS(UsageError, (void)maximum_plan(ring_bits, inputs, ring_bits));
        continue;
      }
      const LookupPlan plan = maximum_plan(ring_bits, inputs, ring_bits);
      const std::size_t merges = ring_bits <= 4 ? 0 : ring_bits <= 21 ? 1 : ring_bits <= 49 ? 2 : 3;
      CHECK(plan.steps().size() == merges + (inputs == 2 ? 2 : 3));
      CHECK(maximum_plan(ring_bits, inputs, 64).steps().size() == plan.steps().size());
      CHECK(plan.inputs() == inputs && plan.back_transfers() < kNoTransfer);
    }
  }
  CHECK_THROWS(UsageError, (void)maximum_plan(1, 2, 8));
  CHECK_THROWS(UsageError, (void)maximum_plan(65, 2, 65));
  CHECK_THROWS(UsageError, (void)maximum_plan(8, 1, 8));
  CHECK_THROWS(UsageError, (void)maximum_plan(8, 5, 8));
  CHECK_THROWS(UsageError, (void)maximum_plan(8, 2, 7));
  CHECK_THROWS(UsageError, (void)maximum_plan(8, 2, 65));
}

/// Flips of single bits in the steps change outputs, which stay in their ring, and nothing else.
class Flipping : public LookupPair {
 public:
  void tamper(Message& message) override {
    if (messages++ == target) message[kHeaderBytes] ^= 1U;
  }
  std::size_t messages = 0;
  std::size_t target = ~std::size_t{0};
};

void flips() {
  const LookupPlan plan = maximum_plan(6, 4, 13);
  const std::vector<Word> zeros(256), masks(64);
  std::size_t wrong = 0;
  for (std::size_t step = 0; step < 2 * plan.steps().size(); ++step) {
    Flipping pair;
    pair.set_up();
    pair.target = pair.messages + 2 + step;  // after the corrections
    for (const Word word : pair.run(plan, masks, zeros, zeros)) {
      CHECK(word < Word{1} << plan.output_bits());
      if (word != 0) ++wrong;
    }
    CHECK(pair.messages > pair.target);
  }
  CHECK(wrong > 0);
}

void shares_of_all_inputs_are_needed() {
  LookupPair pair;
  pair.set_up();
  const LookupPlan plan = maximum_plan(8, 3, 8);
  const auto h = pair.holder.prepare(plan, random_words(2));
  const auto c = pair.chooser.prepare(plan, 2);
  pair.prepare(*h, *c);
  CHECK_THROWS(UsageError, h->begin(random_words(2)));
  CHECK_THROWS(UsageError, c->begin(random_words(7)));
  h->begin(random_words(6));
  c->begin(random_words(6));
}

}  // namespace

int main() {
  return run_tests([] {
    LookupPair pair;
    pair.set_up();
    plans();
    small_rings(pair);
    large_rings(pair);
    paths_and_sources();
    flips();
    shares_of_all_inputs_are_needed();
  });
}
