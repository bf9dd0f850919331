#include "circuits.hpp"

#include <bit>

#include "builder.hpp"
#include "ranges.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kMaxClasses = 65536;

std::size_t tournament_and_count(std::size_t bits, std::size_t words) {
  return words < 2 ? 0 : (words - 1) * bits + (words - 2) * bits;
}

}  // namespace

Circuit relu_circuit(std::size_t ring_bits, std::size_t shift) {
  require_ring(ring_bits, shift);
  Builder builder;
  const SharePair share = builder.shared_input(ring_bits);
  const Bits x = builder.reconstruct(share);
  const Bit positive = builder.not_(x.back());
  const Bits kept(x.begin() + static_cast<std::ptrdiff_t>(shift), x.end() - 1);
  builder.output_shared(builder.and_all(positive, kept), ring_bits, false);
  return builder.finish();
}

std::size_t relu_and_count(std::size_t ring_bits, std::size_t shift) {
  return 2 * (ring_bits - 1) - shift;
}

Circuit truncate_circuit(std::size_t ring_bits, std::size_t shift) {
  require_ring(ring_bits, shift);
  Builder builder;
  const Bits x = builder.reconstruct(builder.shared_input(ring_bits));
  const Bits kept(x.begin() + static_cast<std::ptrdiff_t>(shift), x.end());
  builder.output_shared(kept, ring_bits, true);
  return builder.finish();
}

std::size_t truncate_and_count(std::size_t ring_bits) { return ring_bits - 1; }

Circuit argmax_circuit(std::size_t ring_bits, std::size_t classes, std::size_t vote_bits,
                       std::size_t vote_shift) {
  require_range("ring_bits", ring_bits, 1, 64);
  require_range("vote_bits", vote_bits, 1, 64);
  require_range("vote_shift", vote_shift, 0, vote_bits - 1);
  require_range("classes", classes, 1, kMaxClasses);
  Builder builder;
  std::vector<SharePair> shares;
  for (std::size_t j = 0; j < classes; ++j) shares.push_back(builder.shared_input(ring_bits));
  std::vector<Bits> logits;
  for (const SharePair& share : shares) logits.push_back(builder.reconstruct(share));
  const Bits one_hot = argmax_one_hot(builder, logits, Bit::constant(true));
  for (const Bit bit : one_hot) {
    Bits vote(vote_shift, Bit::constant(false));
    vote.push_back(bit);
    builder.output_shared(vote, vote_bits, false);
  }
  return builder.finish();
}

std::size_t argmax_and_count(std::size_t ring_bits, std::size_t classes) {
  if (classes < 2) return 0;
  return classes * (ring_bits - 1) + tournament_and_count(ring_bits, classes) + classes - 2;
}

std::size_t index_bits(std::size_t classes) {
  return classes < 3 ? 1 : static_cast<std::size_t>(std::bit_width(classes - 1));
}

Circuit noisy_argmax_circuit(std::size_t vote_bits, std::size_t classes, bool with_threshold) {
  require_range("vote_bits", vote_bits, 2, 64);
  require_range("classes", classes, 1, kMaxClasses);
  Builder builder;
  std::vector<SharePair> shares;
  std::vector<Bits> over_threshold_masks;
  for (std::size_t j = 0; j < classes; ++j) shares.push_back(builder.shared_input(vote_bits));
  for (std::size_t j = 0; with_threshold && j < classes; ++j) {
    over_threshold_masks.push_back(builder.online_partner(j, vote_bits));
  }
  std::vector<Bits> noisy_votes;
  for (const SharePair& share : shares) noisy_votes.push_back(builder.reconstruct(share));

  Bit answered = Bit::constant(true);
  if (with_threshold) {
    Bit none = Bit::constant(true);
    for (std::size_t j = 0; j < classes; ++j) {
      const Bits margin = builder.add(over_threshold_masks[j], shares[j].evaluator);
      none = builder.and_(none, margin.back());
    }
    answered = builder.not_(none);
    builder.output(OutputKind::Both, {answered});
  }
  const Bits one_hot = argmax_one_hot(builder, noisy_votes, answered);
  Bits label(index_bits(classes), Bit::constant(false));
  for (std::size_t j = 0; j < classes; ++j) {
    for (std::size_t i = 0; i < label.size(); ++i) {
      if (((j >> i) & 1U) != 0) label[i] = builder.xor_(label[i], one_hot[j]);
    }
  }
  builder.output(OutputKind::Evaluator, label);
  return builder.finish();
}

std::size_t noisy_argmax_and_count(std::size_t vote_bits, std::size_t classes,
                                   bool with_threshold) {
  const std::size_t sums = classes * (vote_bits - 1);
  const std::size_t threshold = with_threshold ? sums + (classes - 1) : 0;
  if (classes < 2) return threshold;
  const std::size_t one_hot = classes - (with_threshold ? 1 : 2);
  return threshold + sums + tournament_and_count(vote_bits, classes) + one_hot;
}

}  // namespace capc::gc
