#include "ot_extension.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "errors.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kRows = kBaseTransfers;
constexpr std::size_t kGroupDepth = 4;  // of a group of leaves that the kernels add at once
constexpr std::size_t kGroupUnits = 8;  // so that a group's sums stay in the first cache
static_assert(kLeaves == std::size_t{1} << kGroupDepth);

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

void add_blocks(Block* row, const Block* other, std::size_t blocks) {
  for (std::size_t i = 0; i < blocks; ++i) row[i] ^= other[i];
}

[[nodiscard]] ConstBytes bytes_of_rows(const HashedRows& rows) {
  return {reinterpret_cast<const std::uint8_t*>(rows.data()), sizeof rows};
}

}  // namespace

LeafSums::LeafSums(const TreeShape& shape) : depth_(shape.depth) {
  if (depth_ > kGroupDepth) {
    group_ = SecretArray<Block>((kGroupDepth + 1) * kGroupUnits * kUnitBlocks);
  }
}

void LeafSums::operator()(const Kernels& kernels, const RoundKeys* leaves, std::uint64_t first,
                          std::size_t units, Block* u, Block* rows, std::size_t stride) {
  if (depth_ == kGroupDepth) {
    Block* const v[kGroupDepth] = {rows, rows + stride, rows + 2 * stride, rows + 3 * stride};
    kernels.leaf_sums(leaves, first, units, u, v);
    return;
  }
  for (std::size_t unit = 0; unit < units; unit += kGroupUnits) {
    const std::size_t block = unit * kUnitBlocks;
    add_groups(kernels, leaves, first + block, std::min(kGroupUnits, units - unit), u + block,
               rows + block, stride);
  }
}

void LeafSums::add_groups(const Kernels& kernels, const RoundKeys* leaves, std::uint64_t first,
                          std::size_t units, Block* u, Block* rows, std::size_t stride) {
  const std::size_t blocks = units * kUnitBlocks;
  Block* const sum = group_.data();
  Block* const v[kGroupDepth] = {sum + blocks, sum + 2 * blocks, sum + 3 * blocks,
                                 sum + 4 * blocks};
  std::fill_n(u, blocks, Block{});
  for (std::size_t bit = 0; bit < depth_; ++bit) std::fill_n(rows + bit * stride, blocks, Block{});
  for (std::size_t group = 0; group < std::size_t{1} << (depth_ - kGroupDepth); ++group) {
    kernels.leaf_sums(leaves + group * kLeaves, first, units, sum, v);
    add_blocks(u, sum, blocks);
    for (std::size_t bit = 0; bit < kGroupDepth; ++bit) {
      add_blocks(rows + bit * stride, v[bit], blocks);
    }
    for (std::size_t bit = kGroupDepth; bit < depth_; ++bit) {
      if ((group >> (bit - kGroupDepth) & 1U) != 0) add_blocks(rows + bit * stride, sum, blocks);
    }
  }
}

TransferReceiver::TransferReceiver(const Kernels& kernels, const TreeShape& shape,
                                   const Digest& session, const SecretArray<Block>& zero_keys,
                                   const SecretArray<Block>& one_keys, Bytes tree_message)
    : kernels_(&kernels),
      shape_(shape),
      sum_leaves_(shape),
      leaves_(grow_trees(kernels, shape, session, zero_keys, one_keys, tree_message)) {}

void TransferReceiver::correct(const Block* choices, std::size_t transfers, Bytes corrections,
                               Block* labels) {
  blocks_ = correction_blocks(transfers);
  const std::size_t stride = stride_of(blocks_);
  grow_rows(rows_, kRows + 2, stride);
  Block* const chosen = rows_.data() + kRows * stride;
  Block* const u = chosen + stride;
  std::copy_n(choices, blocks_ - kMaskBlocks, chosen);
  random_bytes(chosen + blocks_ - kMaskBlocks, kMaskBlocks * sizeof(Block));
  for (std::size_t tree = 0; tree < shape_.trees(); ++tree) {
    sum_leaves_(*kernels_, &leaves_[tree * shape_.leaves()], next_block_, stride / kUnitBlocks, u,
                rows_.data() + tree * shape_.depth * stride, stride);
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

TransferSender::TransferSender(const Kernels& kernels, const TreeShape& shape,
                               const Digest& session, Block delta,
                               const SecretArray<Block>& chosen_keys, ConstBytes tree_message)
    : kernels_(&kernels),
      shape_(shape),
      sum_leaves_(shape),
      leaves_(grow_punctured_trees(kernels, shape, session, delta, chosen_keys, tree_message)) {
  delta_.get() = delta;
}

void TransferSender::extend(ConstBytes corrections, const Digest& challenge, ConstBytes check,
                            std::size_t transfers, Block* labels) {
  const std::size_t blocks = correction_blocks(transfers);
  const std::size_t stride = stride_of(blocks);
  grow_rows(rows_, kRows + 1, stride);
  Block* const unused = rows_.data() + kRows * stride;
  for (std::size_t tree = 0; tree < shape_.trees(); ++tree) {
    Block* const rows = rows_.data() + tree * shape_.depth * stride;
    sum_leaves_(*kernels_, &leaves_[tree * shape_.leaves()], next_block_, stride / kUnitBlocks,
                unused, rows, stride);
    const std::uint8_t* const correction = corrections.data() + tree * blocks * sizeof(Block);
    for (std::size_t bit = 0; bit < shape_.depth; ++bit) {
      add_correction(rows + bit * stride, correction, blocks,
                     bit_of(delta_.get(), tree * shape_.depth + bit));
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
