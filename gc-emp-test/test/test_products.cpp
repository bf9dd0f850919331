// Shifts, squares and leaky ReLUs by table look-ups: exact for all shares of small rings and at the
// edges of large ones, from either source of transfers.

#include "check.hpp"
#include "errors.hpp"
#include "leaky_relu_plan.hpp"
#include "lookup_pair.hpp"
#include "shift_plan.hpp"
#include "square_plan.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

struct Shares {
  std::vector<Word> a, b;
};

/// All pairs of shares of a ring.
Shares all_shares(std::size_t ring_bits) {
  Shares shares;
  for (Word x = 0; x < Word{1} << ring_bits; ++x) {
    for (Word y = 0; y < Word{1} << ring_bits; ++y) {
      shares.a.push_back(x);
      shares.b.push_back(y);
    }
  }
  return shares;
}

/// Numbers around 0, around the ring's ends and around powers of two, in shares that are random or
/// at an edge themselves.
Shares edges(std::size_t ring_bits, std::size_t shift) {
  Shares shares;
  const std::size_t bits[] = {0, shift, shift + 1, ring_bits - 2, ring_bits - 1};
  for (const std::size_t bit : bits) {
    for (const Word value : {(Word{1} << bit) - 1, Word{1} << bit, Word{0} - (Word{1} << bit)}) {
      for (const std::size_t other : bits) {
        shares.a.push_back(Word{1} << other);
        shares.a.push_back((Word{1} << other) - 1);
        shares.a.push_back(rng()());
      }
      while (shares.b.size() < shares.a.size()) {
        shares.b.push_back(value - shares.a[shares.b.size()]);
      }
    }
  }
  return shares;
}

std::int64_t as_signed(Word x, std::size_t bits) {
  return static_cast<std::int64_t>(x << (64 - bits)) >> (64 - bits);
}

template <class Function>
void check(LookupPair& pair, const LookupPlan& plan, const Shares& shares, Function function,
           Source source = Source::Corrections) {
  const std::vector<Word> masks = random_words(shares.a.size());
  const auto out = pair.run(plan, masks, shares.a, shares.b, source);
  for (std::size_t i = 0; i < masks.size(); ++i) {
    const Word x = low_bits(shares.a[i] + shares.b[i], plan.ring_bits());
    CHECK(out[i] == low_bits(function(x) - masks[i], plan.output_bits()));
  }
}

void check_leaky(LookupPair& pair, std::size_t ring_bits, std::size_t shift, Word slope,
                 std::size_t slope_bits, const Shares& shares,
                 Source source = Source::Corrections) {
  check(
      pair, leaky_relu_plan(ring_bits, shift, slope, slope_bits), shares,
      [&](Word x) {
        const std::int64_t value = as_signed(x, ring_bits);
        if (value >= 0) return static_cast<Word>(value >> shift);
        // floor(slope * value / 2^slope_bits), from parts that fit 64 bits
        const std::int64_t high = value >> slope_bits;
        const Word low = low_bits(x, slope_bits);
        const auto sloped = static_cast<Word>(high) * slope + (low * slope >> slope_bits);
        return static_cast<Word>(static_cast<std::int64_t>(sloped) >> shift);
      },
      source);
}

/// Exact below the highest bit, and for all where that bit cannot count.
void check_shift(LookupPair& pair, std::size_t ring_bits, std::size_t shift,
                 std::size_t output_bits, Shares shares, Source source = Source::Corrections) {
  for (std::size_t i = 0; i < shares.a.size() && ring_bits - shift < output_bits; ++i) {
    const Word x = low_bits(shares.a[i] + shares.b[i], ring_bits - 1);
    shares.b[i] = x - shares.a[i];
  }
  check(
      pair, shift_plan(ring_bits, shift, output_bits), shares, [&](Word x) { return x >> shift; },
      source);
}

void check_square(LookupPair& pair, std::size_t ring_bits, const Shares& shares,
                  Source source = Source::Corrections) {
  check(
      pair, square_plan(ring_bits), shares, [](Word x) { return x * x; }, source);
}

void all_shares_of_small_rings(LookupPair& pair) {
  for (std::size_t ring_bits = 2; ring_bits <= 5; ++ring_bits) {
    const Shares shares = all_shares(ring_bits);
    check_square(pair, ring_bits, shares);
    for (std::size_t shift = 0; shift + 2 <= ring_bits; ++shift) {
      for (const std::size_t output_bits : {std::size_t{1}, ring_bits, std::size_t{9}}) {
        if (shift > 0) check_shift(pair, ring_bits, shift, output_bits, shares);
      }
      for (std::size_t slope_bits = 1; slope_bits <= ring_bits - shift; ++slope_bits) {
        for (Word slope = 1; slope < Word{1} << slope_bits; slope += 1 + slope / 6) {
          check_leaky(pair, ring_bits, shift, slope, slope_bits, shares);
        }
      }
    }
  }
}

void large_rings(LookupPair& pair) {
  for (const std::size_t ring_bits : {9U, 16U, 37U, 57U, 63U, 64U}) {
    for (const std::size_t shift : {std::size_t{0}, ring_bits / 4, ring_bits / 2}) {
      const Shares shares = edges(ring_bits, shift);
      check_square(pair, ring_bits, shares);
      const std::size_t slope_bits = std::min(ring_bits - shift, kMaxSlopeBits);
      for (const std::size_t bits : {std::size_t{1}, ring_bits / 4, slope_bits}) {
        check_leaky(pair, ring_bits, shift, (Word{1} << bits) - 1, bits, shares);
        check_leaky(pair, ring_bits, shift, 1, bits, shares);
      }
      for (const std::size_t output_bits : {ring_bits / 2, ring_bits, std::size_t{64}}) {
        if (shift > 0) check_shift(pair, ring_bits, shift, output_bits, shares);
      }
    }
  }
}

void stocks(LookupPair& pair) {
  for (const std::size_t count : {1U, 40U}) {
    const Shares shares{random_words(count), random_words(count)};
    check_square(pair, 33, shares, Source::Stock);
    check_leaky(pair, 37, 12, 819, 12, shares, Source::Stock);
    check_shift(pair, 30, 12, 33, shares, Source::Stock);
  }
}

void refused() {
  CHECK_THROWS(UsageError, (void)square_plan(1));
  CHECK_THROWS(UsageError, (void)square_plan(65));
  CHECK_THROWS(UsageError, (void)shift_plan(37, 0, 37));
  CHECK_THROWS(UsageError, (void)shift_plan(37, 36, 37));
  CHECK_THROWS(UsageError, (void)shift_plan(37, 12, 65));
  CHECK_THROWS(UsageError, (void)leaky_relu_plan(37, 12, 0, 12));
  CHECK_THROWS(UsageError, (void)leaky_relu_plan(37, 12, 4096, 12));
  CHECK_THROWS(UsageError, (void)leaky_relu_plan(37, 20, 1, 18));
  CHECK_THROWS(UsageError, (void)leaky_relu_plan(64, 20, 1, 32));
}

}  // namespace

int main() {
  return run_tests([] {
    LookupPair pair;
    pair.set_up();
    all_shares_of_small_rings(pair);
    large_rings(pair);
    stocks(pair);
    refused();
  });
}
