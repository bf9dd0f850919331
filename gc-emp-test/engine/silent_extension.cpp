#include "silent_extension.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "errors.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kMasks = 8 * sizeof(Block);

}  // namespace

SilentStock::SilentStock(const Kernels& kernels, const Digest& session,
                         const SilentParameters& parameters)
    : kernels_(&kernels),
      parameters_(parameters),
      trees_(kernels, parameters.depth),
      session_(session) {
  const Digest digest = sha256_("capc silent code 1", {session});
  Block key;
  std::memcpy(&key, digest.data(), sizeof key);
  kernels.expand_key(key, code_);
  std::memcpy(&start_, digest.data() + sizeof key, sizeof start_);
}

const Block* SilentStock::take(std::size_t count) {
  if (count > available()) throw StateError("so many silent transfers are not there");
  const Block* const labels = outputs_.data() + taken_;
  taken_ += count;
  make_outputs(taken_);
  return labels;
}

void SilentStock::seed(const Block* labels) {
  if (is_seeded()) throw StateError("the silent transfers have their seeds already");
  inputs_ = SecretArray<Block>(parameters_.inputs(), Pages::Huge);
  std::copy_n(labels, inputs_.size(), inputs_.data());
}

void SilentStock::begin_round() {
  if (!is_seeded()) throw StateError("the silent transfers have no seeds");
  if (pending() == kSilentWindow) throw StateError("too many silent rounds wait for their proofs");
  if (outputs_.size() == 0) outputs_ = SecretArray<Block>(parameters_.outputs(), Pages::Huge);
  finish_hash();
  if (std::exchange(has_next_inputs_, false)) {
    make_outputs(inputs_.size());
    std::copy_n(outputs_.data(), inputs_.size(), inputs_.data());
  }
  taken_ = outputs_.size();
}

void SilentStock::end_round(const Claim& claim) {
  claims_.get()[round_ % kSilentWindow] = claim;
  ++round_;
  has_next_inputs_ = true;
  made_ = 0;
  taken_ = inputs_.size();
}

const SilentStock::Claim& SilentStock::first_claim() const {
  if (pending() == 0 || !is_seeded()) throw StateError("no silent round waits for its proof");
  return claims_.get()[proven_ % kSilentWindow];
}

void SilentStock::drop() {
  is_hashed_ = true;
  has_next_inputs_ = false;
  inputs_ = {};
  outputs_ = {};
  taken_ = 0;
}

void SilentStock::make_outputs(std::size_t count) {
  const std::size_t end =
      std::min((count + kCodeRows - 1) / kCodeRows * kCodeRows, outputs_.size());
  if (end <= made_) return;
  if (!is_hashed_) hash_trees((end + trees_.leaves() - 1) / trees_.leaves());
  kernels_->code_rows(code_, made_, end - made_, inputs_.data(),
                      static_cast<std::uint32_t>(parameters_.secrets), &outputs_[made_]);
  made_ = end;
}

RoundKeys SilentStock::tree_key(std::size_t tree) const {
  RoundKeys key;
  kernels_->expand_key(start_ ^ Block{round_ * parameters_.trees + tree, 0}, key);
  return key;
}

Digest SilentStock::draw_challenge(ConstBytes trees) {
  const Digest challenge = sha256_("capc silent challenge 1", {session_, bytes_of(round_), trees});
  RoundKeys key;
  Block seed;
  std::memcpy(&seed, challenge.data(), sizeof seed);
  kernels_->expand_key(seed, key);
  coefficients_.resize(parameters_.trees + trees_.leaves());
  kernels_->stream(key, 0, coefficients_.data(), coefficients_.size());
  if (tree_hashes_.size() == 0) tree_hashes_ = SecretArray<Block>(parameters_.trees);
  hashed_trees_ = 0;
  is_hashed_ = false;
  return challenge;
}

void SilentStock::hash_trees(std::size_t trees) {
  if (trees <= hashed_trees_) return;
  kernels_->row_hashes(leaves_of(hashed_trees_), trees_.leaves(), trees - hashed_trees_,
                       place_coefficients(), trees_.leaves(), &tree_hashes_[hashed_trees_]);
  hashed_trees_ = trees;
}

void SilentStock::finish_hash() {
  if (std::exchange(is_hashed_, true)) return;
  hash_trees(parameters_.trees);
  claims_.get()[(round_ - 1) % kSilentWindow].hashed ^= sum_over_trees(tree_hashes_);
}

Block SilentStock::sum_over_trees(const SecretArray<Block>& of_trees) const {
  const std::size_t trees = parameters_.trees;
  Block sum;
  kernels_->row_hashes(of_trees.data(), trees, 1, coefficients_.data(), trees, &sum);
  return sum;
}

Digest SilentStock::proof_of(const Claim& claim) const {
  return sha256_("capc silent proof 1", {claim.challenge, bytes_of(claim.hashed)});
}

SilentSender::SilentSender(const Kernels& kernels, const Digest& session, Block delta,
                           const SilentParameters& parameters)
    : SilentStock(kernels, session, parameters) {
  delta_.get() = delta;
}

void SilentSender::grow(Bytes trees) {
  grow_trees(trees);
  claim(trees);
}

void SilentSender::grow_trees(Bytes trees) {
  begin_round();
  SecretArray<Block> roots(parameters_.trees);
  random_bytes(roots.data(), roots.size() * sizeof(Block));
  SecretArray<Block> sums(parameters_.depth);
  Writer out(trees);
  for (std::size_t i = 0; i < parameters_.trees; ++i) {
    trees_.grow(tree_key(i), roots[i], delta_.get(), sums.data(), leaves_of(i));
    for (std::size_t level = 0; level < parameters_.depth; ++level) {
      out.value(sums[level] ^ level_labels(i)[level]);
    }
  }
}

void SilentSender::claim(ConstBytes trees) {
  const Digest challenge = draw_challenge(trees);
  end_round({challenge, polynomial(mask_labels(), kMasks)});
}

void SilentSender::prove(ConstBytes point, Bytes proof) {
  finish_hash();
  Claim claim = first_claim();
  Reader in(point);
  const auto places = in.value<Block>();
  in.finish();
  SecretArray<Block> chosen(kMasks);
  for (std::size_t i = 0; i < kMasks; ++i) chosen[i] = select(bit_of(places, i), delta_.get());
  claim.hashed ^= polynomial(chosen.data(), kMasks);
  Writer(proof).value(proof_of(claim));
  end_proof();
}

SilentReceiver::SilentReceiver(const Kernels& kernels, const Digest& session,
                               const SilentParameters& parameters)
    : SilentStock(kernels, session, parameters) {}

void SilentReceiver::answer(ConstBytes trees, Bytes point) {
  begin_round();
  const Digest challenge = draw_challenge(trees);
  SecretArray<Block> off_path(parameters_.depth);
  SecretArray<Block> chosen(parameters_.trees);
  Reader in(trees);
  for (std::size_t i = 0; i < parameters_.trees; ++i) {
    std::uint64_t place = 0;
    for (std::size_t level = 0; level < parameters_.depth; ++level) {
      const Block label = level_labels(i)[level];
      off_path[level] = in.value<Block>() ^ label;
      place |= (~label.lo & 1U) << level;
    }
    trees_.grow_punctured(tree_key(i), place, off_path.data(), leaves_of(i));
    hash_trees(i + 1);
    kernels_->chosen_sums(leaves_of(i), trees_.leaves(), 1, place_coefficients(), trees_.leaves(),
                          &chosen[i]);
  }
  in.finish();
  Block places = sum_over_trees(chosen);
  for (std::size_t i = 0; i < kMasks; ++i) places ^= select(mask_labels()[i].lo, one_bit(i));
  Writer(point).value(places);
  end_round({challenge, polynomial(mask_labels(), kMasks)});
  finish_hash();
}

void SilentReceiver::finish(ConstBytes proof) {
  const Claim& claim = first_claim();
  try {
    Reader in(proof);
    const auto sent = in.value<Digest>();
    in.finish();
    require_digest(proof_of(claim), sent, "the peer's silent trees do not fit their check");
  } catch (const ProtocolError&) {
    drop();
    throw;
  }
  end_proof();
}

}  // namespace capc::gc
