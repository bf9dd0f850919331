#include "silent_extension.hpp"

#include <algorithm>
#include <cstring>

#include "errors.hpp"
#include "sparse_code.hpp"

namespace capc::gc {

SilentStock::SilentStock(const Kernels& kernels, const Digest& session,
                         const SilentParameters& parameters)
    : kernels_(&kernels), parameters_(parameters), session_(session) {
  const Digest digest = sha256_("capc silent code 1", {session});
  Block key;
  std::memcpy(&key, digest.data(), sizeof key);
  kernels.expand_key(key, code_);
  std::memcpy(&start_, digest.data() + sizeof key, sizeof start_);
}

const Block* SilentStock::take(std::size_t count) {
  if (midway_ || count > available()) throw StateError("so many silent transfers are not there");
  make_outputs();
  const Block* const labels = outputs_.data() + taken_;
  taken_ += count;
  return labels;
}

void SilentStock::seed(const Block* labels) {
  if (is_seeded()) throw StateError("the silent transfers have their seeds already");
  inputs_ = SecretArray<Block>(parameters_.inputs());
  std::copy_n(labels, inputs_.size(), inputs_.data());
}

void SilentStock::begin_round() {
  if (midway_ || !is_seeded()) throw StateError("no round of silent transfers may begin here");
  make_outputs();
  midway_ = true;
  if (outputs_.size() == 0) outputs_ = SecretArray<Block>(parameters_.outputs());
  taken_ = outputs_.size();
}

void SilentStock::end_round() {
  ++round_;
  midway_ = false;
  is_due_ = true;
}

void SilentStock::make_outputs() {
  if (!is_due_) return;
  is_due_ = false;
  add_code_rows(*kernels_, code_, 0, outputs_.size(), inputs_.data(), parameters_.secrets,
                outputs_.data());
  std::copy_n(outputs_.data(), inputs_.size(), inputs_.data());
  taken_ = inputs_.size();
}

SecretArray<LevelSums> SilentStock::pads(Block difference) const {
  const std::size_t levels = parameters_.trees * parameters_.depth;
  SecretArray<LevelSums> result(levels);
  for (std::size_t i = 0; i < levels; ++i) {
    const Block label = inputs_[parameters_.secrets + i];
    result[i] = {{label, label ^ difference}};
  }
  Block* const blocks = result[0].side;
  kernels_->hash(start_, round_ * 2 * levels, blocks, blocks, 2 * levels);
  return result;
}

Digest SilentStock::challenge_of(ConstBytes trees) const {
  return sha256_("capc silent challenge 1", {session_, bytes_of(round_), trees});
}

Block SilentStock::hash_leaves(Block* choices) const {
  RoundKeys key;
  Block seed;
  std::memcpy(&seed, challenge_.data(), sizeof seed);
  kernels_->expand_key(seed, key);
  const std::size_t count = std::size_t{1} << parameters_.depth;
  std::vector<Block> coefficients(count);
  Block sum{};
  for (std::size_t first = 0; first < outputs_.size(); first += count) {
    kernels_->stream(key, first, coefficients.data(), count);
    Block hashed;
    kernels_->row_hashes(&outputs_[first], count, 1, coefficients.data(), count, &hashed);
    sum ^= hashed;
    if (choices == nullptr) continue;
    for (std::size_t i = 0; i < count; ++i) {
      *choices ^= select(outputs_[first + i].lo, coefficients[i]);
    }
  }
  return sum;
}

Digest SilentStock::proof_of(Block hashed) const {
  return sha256_("capc silent proof 1", {challenge_, bytes_of(hashed)});
}

SilentSender::SilentSender(const Kernels& kernels, const Digest& session, Block delta,
                           const SilentParameters& parameters)
    : SilentStock(kernels, session, parameters) {
  delta_.get() = delta;
}

void SilentSender::grow(Bytes trees) {
  begin_round();
  const SecretArray<LevelSums> hidden = pads(delta_.get());
  PointTree tree(*kernels_, parameters_.depth);
  SecretArray<LevelSums> sums(parameters_.depth);
  Writer out(trees);
  for (std::size_t i = 0; i < parameters_.trees; ++i) {
    Secret<Block> root;
    random_bytes(&root.get(), sizeof(Block));
    const Block sum = tree.grow(root.get(), sums.data(), &outputs_[i * tree.leaves()]);
    for (std::size_t level = 0; level < parameters_.depth; ++level) {
      const LevelSums& pad = hidden[i * parameters_.depth + level];
      out.value(sums[level].side[0] ^ pad.side[0]);
      out.value(sums[level].side[1] ^ pad.side[1]);
    }
    out.value(sum ^ delta_.get());
  }
  challenge_ = challenge_of(trees);
}

void SilentSender::prove(ConstBytes point, Bytes proof) {
  if (!midway_) throw StateError("no round of silent transfers is under way");
  Reader in(point);
  const auto places = in.value<Block>();
  in.finish();
  Block masks[8 * sizeof(Block)];
  for (std::size_t i = 0; i < std::size(masks); ++i) {
    masks[i] = mask_labels()[i] ^ select(bit_of(places, i), delta_.get());
  }
  const Digest digest = proof_of(hash_leaves(nullptr) ^ polynomial(masks, std::size(masks)));
  Writer(proof).value(digest);
  end_round();
}

SilentReceiver::SilentReceiver(const Kernels& kernels, const Digest& session,
                               const SilentParameters& parameters)
    : SilentStock(kernels, session, parameters) {}

void SilentReceiver::answer(ConstBytes trees, Bytes point) {
  begin_round();
  const SecretArray<LevelSums> hidden = pads({});
  PointTree tree(*kernels_, parameters_.depth);
  SecretArray<Block> off_path(parameters_.depth);
  Reader in(trees);
  for (std::size_t i = 0; i < parameters_.trees; ++i) {
    std::uint64_t place = 0;
    for (std::size_t level = 0; level < parameters_.depth; ++level) {
      const std::size_t transfer = i * parameters_.depth + level;
      const std::uint64_t choice = inputs_[parameters_.secrets + transfer].lo & 1U;
      const auto left = in.value<Block>() ^ hidden[transfer].side[0];
      const auto right = in.value<Block>() ^ hidden[transfer].side[1];
      off_path[level] = left ^ select(choice, left ^ right);
      place = place << 1U | (choice ^ 1U);
    }
    tree.grow_punctured(place, off_path.data(), in.value<Block>(), &outputs_[i * tree.leaves()]);
  }
  in.finish();
  challenge_ = challenge_of(trees);
  Block places{};
  hashed_.get() = hash_leaves(&places) ^ polynomial(mask_labels(), 8 * sizeof(Block));
  for (std::size_t i = 0; i < 8 * sizeof(Block); ++i) {
    places ^= select(mask_labels()[i].lo, one_bit(i));
  }
  Writer(point).value(places);
}

void SilentReceiver::finish(ConstBytes proof) {
  if (!midway_) throw StateError("no round of silent transfers is under way");
  Reader in(proof);
  const auto sent = in.value<Digest>();
  in.finish();
  require_digest(proof_of(hashed_.get()), sent, "the peer's silent trees do not fit their check");
  end_round();
}

}  // namespace capc::gc
