#include "ot_extension.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "errors.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kRows = kTrees * kTreeDepth;

using HashedRows = std::array<Block, kRows>;

/// Rows are computed in units: the blocks from one row to the next.
[[nodiscard]] constexpr std::size_t stride_of(std::size_t blocks) {
  return (blocks + kUnitBlocks - 1) / kUnitBlocks * kUnitBlocks;
}

void grow_rows(SecretArray<Block>& rows, std::size_t count, std::size_t stride) {
  if (rows.size() < count * stride) rows = SecretArray<Block>(count * stride);
}

/// out ^= correction where the bit is set, over the blocks that the peer sent.
void add_correction(Block* row, const std::uint8_t* correction, std::size_t blocks,
                    std::uint64_t bit) {
  for (std::size_t i = 0; i < blocks; ++i) {
    Block value;
    std::memcpy(&value, correction + i * sizeof value, sizeof value);
    row[i] ^= select(bit, value);
  }
}

[[nodiscard]] ConstBytes bytes_of_rows(const HashedRows& rows) {
  return {reinterpret_cast<const std::uint8_t*>(rows.data()), sizeof rows};
}

}  // namespace

TransferReceiver::TransferReceiver(const Kernels& kernels, const Digest& session,
                                   const SecretArray<Block>& zero_keys,
                                   const SecretArray<Block>& one_keys, Bytes tree_message)
    : kernels_(&kernels),
      leaves_(grow_trees(kernels, session, zero_keys, one_keys, tree_message)) {}

void TransferReceiver::correct(const Block* choices, std::size_t transfers, Bytes corrections,
                               Block* labels) {
  blocks_ = correction_blocks(transfers);
  const std::size_t stride = stride_of(blocks_);
  grow_rows(rows_, kRows + 2, stride);
  Block* const chosen = rows_.data() + kRows * stride;
  Block* const u = chosen + stride;
  std::copy_n(choices, blocks_ - kMaskBlocks, chosen);
  random_bytes(chosen + blocks_ - kMaskBlocks, kMaskBlocks * sizeof(Block));
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    Block* const first = rows_.data() + tree * kTreeDepth * stride;
    Block* const v[4] = {first, first + stride, first + 2 * stride, first + 3 * stride};
    kernels_->leaf_sums(&leaves_[tree * kLeaves], next_block_, stride / kUnitBlocks, u, v);
    for (std::size_t i = 0; i < blocks_; ++i) u[i] ^= chosen[i];
    std::memcpy(corrections.data() + tree * blocks_ * sizeof(Block), u, blocks_ * sizeof(Block));
  }
  next_block_ += stride;
  kernels_->transpose(rows_.data(), stride, padded_transfers(transfers) / kUnitColumns, labels);
}

void TransferReceiver::prove(const Digest& challenge, Bytes check) {
  if (blocks_ == 0) throw StateError("there are no corrections to prove");
  const std::size_t stride = stride_of(blocks_);
  const RowHash hash(*kernels_, challenge, blocks_);
  Secret<HashedRows> rows;
  hash(rows_.data(), stride, kRows, rows.get().data());
  Block choices;
  hash(rows_.data() + kRows * stride, stride, 1, &choices);
  Writer out(check);
  out.value(choices);
  out.value(digest_of_rows(sha256_, challenge, bytes_of_rows(rows.get())));
  blocks_ = 0;
}

TransferSender::TransferSender(const Kernels& kernels, const Digest& session, Block delta,
                               const SecretArray<Block>& chosen_keys, ConstBytes tree_message)
    : kernels_(&kernels),
      leaves_(grow_punctured_trees(kernels, session, delta, chosen_keys, tree_message)) {
  delta_.get() = delta;
}

void TransferSender::extend(ConstBytes corrections, const Digest& challenge, ConstBytes check,
                            std::size_t transfers, Block* labels) {
  const std::size_t blocks = correction_blocks(transfers);
  const std::size_t stride = stride_of(blocks);
  grow_rows(rows_, kRows + 1, stride);
  Block* const unused = rows_.data() + kRows * stride;
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    Block* const first = rows_.data() + tree * kTreeDepth * stride;
    Block* const w[4] = {first, first + stride, first + 2 * stride, first + 3 * stride};
    kernels_->leaf_sums(&leaves_[tree * kLeaves], next_block_, stride / kUnitBlocks, unused, w);
    const std::uint8_t* const correction = corrections.data() + tree * blocks * sizeof(Block);
    for (std::size_t bit = 0; bit < kTreeDepth; ++bit) {
      add_correction(w[bit], correction, blocks, bit_of(delta_.get(), tree * kTreeDepth + bit));
    }
  }
  next_block_ += stride;
  require_consistent(challenge, check, blocks);
  kernels_->transpose(rows_.data(), stride, padded_transfers(transfers) / kUnitColumns, labels);
}

void TransferSender::require_consistent(const Digest& challenge, ConstBytes check,
                                        std::size_t blocks) const {
  Reader in(check);
  const auto choices = in.value<Block>();
  const auto sent = in.value<Digest>();
  in.finish();
  const RowHash hash(*kernels_, challenge, blocks);
  Secret<HashedRows> rows;
  hash(rows_.data(), stride_of(blocks), kRows, rows.get().data());
  for (std::size_t i = 0; i < kRows; ++i) rows.get()[i] ^= select(bit_of(delta_.get(), i), choices);
  const Digest expected = digest_of_rows(sha256_, challenge, bytes_of_rows(rows.get()));
  require_digest(expected, sent, "the peer's choices do not fit their check");
}

}  // namespace capc::gc
