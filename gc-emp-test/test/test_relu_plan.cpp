// The plan of a ReLU by table look-ups: what each step has, its figures, and the field behind the
// pads.

#include "check.hpp"
#include "errors.hpp"
#include "lookup_pads.hpp"
#include "relu_plan.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

void check_fits(const LookupPlan& plan) {
  std::size_t nodes = 0;
  for (const auto& step : plan.steps()) {
    CHECK(!step.empty());
    for (const Lookup& lookup : step) {
      CHECK(lookup.table.choice_bits >= 1 && lookup.table.choice_bits <= kMaxChoiceBits);
      CHECK(lookup.table.message_bits >= 1);
      if (lookup.table.has_numbers) {
        CHECK(lookup.table.choice_bits <= kMaxNumberChoiceBits);
        continue;
      }
      CHECK(lookup.table.message_bits == lookup.result_count * (lookup.with_equal ? 2U : 1U));
      for (std::size_t i = 0; i < lookup.result_count; ++i) {
        CHECK(lookup.results[i].node == nodes++);
        CHECK(lookup.results[i].equal_transfer == kNoTransfer ||
              lookup.results[i].bit_transfer == kNoTransfer);
      }
    }
  }
  CHECK(nodes <= kNoNode);
  CHECK(plan.back_transfers() < kNoTransfer);
  CHECK(plan.steps().back().back().is_output);
}

void every_plan_fits() {
  for (std::size_t ring_bits = 2; ring_bits <= 64; ++ring_bits) {
    for (std::size_t shift = 0; shift + 2 <= ring_bits; ++shift) {
      check_fits(relu_plan(ring_bits, shift, ring_bits));
      check_fits(bounded_relu_plan(ring_bits, shift, 1, ring_bits));
    }
  }
  CHECK_THROWS(UsageError, (void)bounded_relu_plan(8, 2, 0, 8));
  CHECK_THROWS(UsageError, (void)bounded_relu_plan(8, 2, 32, 8));
  CHECK_THROWS(UsageError, (void)relu_plan(8, 2, 9));
  CHECK_THROWS(UsageError, (void)relu_plan(8, 2, 0));
  CHECK_THROWS(UsageError, (void)relu_plan(1, 0, 1));
  CHECK_THROWS(UsageError, (void)relu_plan(65, 0, 65));
  CHECK_THROWS(UsageError, (void)relu_plan(37, 36, 37));
}

/// The table of docs/garbled-circuits.md.
void figures() {
  const LookupPlan plan = relu_plan(37, 12, 37);
  CHECK(plan.steps().size() == 4);  // leaves, a level of merges, the merge of all, the selection
  CHECK(plan.tables().size() == 12 + 4 + 1 + 3);
  CHECK(plan.transfers() == 37 - 1 + (3 + 2 + 2 + 1) + 3 + 3);
  CHECK(plan.back_transfers() == (3 + 2 + 2 + 1) + 3 + 1);
  std::size_t choose = 0, table = 0;
  for (const auto& step : plan.steps()) {
    for (const Lookup& lookup : step) {
      choose += lookup.choose_bits;
      table += lookup.table_bits;
    }
  }
  CHECK(choose == plan.transfers() + 7 + (2 + 6 + 6) + 7 + 37);
  CHECK(table == 7 + 11 * 14 + 8 + 7 + (2 + 6 + 6 + 3) + 8 + 12 + 37 + 2 * 37);
  const auto [holder_offline, chooser_offline] = plan.offline_bytes(kLookupChunk);
  CHECK(holder_offline == kHeaderBytes + choice_body_bytes(kLookupChunk * plan.back_transfers()));
  CHECK(chooser_offline == kHeaderBytes + choice_body_bytes(kLookupChunk * plan.transfers()));
}

/// The field behind the pads, and that each table has a tweak of its own.
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
  const LookupPlan plan = relu_plan(37, 12, 37);
  std::size_t next = 0, next_back = 0, transfer = 0, transfer_back = 0;
  for (const auto& step : plan.steps()) {
    for (const Lookup& lookup : step) {
      CHECK(lookup.table.index == next++ && lookup.table.first_transfer == transfer);
      transfer += lookup.table.choice_bits;
      if (lookup.back.choice_bits == 0) continue;
      CHECK(lookup.back.index == next_back++ && lookup.back.first_transfer == transfer_back);
      transfer_back += lookup.back.choice_bits;
    }
  }
  CHECK(back_tweak(plan, 3) == 3 * next);
  CHECK(tweaks_of(plan, 3) == 3 * (next + next_back));
}

}  // namespace

int main() {
  return run_tests([] {
    every_plan_fits();
    figures();
    pads();
  });
}
