#include "ot_extension.hpp"

#include <array>
#include <cstring>

namespace capc::gc {
namespace {

using Leaves = std::array<Block, kLeaves>;

/// The two children of a seed: the AES-128 key stream under it.
void split(const Kernels& kernels, Block seed, Block* children) {
  Secret<RoundKeys> keys;
  kernels.expand_key(seed, keys.get());
  kernels.stream(keys.get(), 0, children, 2);
}

[[nodiscard]] Block load(ConstBytes bytes, std::size_t index) {
  Block b;
  std::memcpy(&b, bytes.data() + index * sizeof(Block), sizeof b);
  return b;
}

[[nodiscard]] std::uint64_t bit_of(Block x, std::size_t i) {
  return ((i < 64 ? x.lo : x.hi) >> (i % 64)) & 1U;
}

void grow_rows(SecretArray<Block>& rows, std::size_t units) {
  const std::size_t needed = (kTrees * kTreeDepth + 1) * units * kUnitBlocks;
  if (rows.size() < needed) rows = SecretArray<Block>(needed);
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

}  // namespace

TransferReceiver::TransferReceiver(const Kernels& kernels, const SecretArray<Block>& zero_keys,
                                   const SecretArray<Block>& one_keys, Bytes tree_message)
    : kernels_(&kernels), leaves_(kTrees * kLeaves) {
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    Secret<Leaves> nodes;
    Secret<Leaves> children;
    random_bytes(&nodes.get()[0], 2 * sizeof(Block));  // the two subtrees under the root
    for (std::size_t level = 0; level < kTreeDepth; ++level) {
      const std::size_t width = std::size_t{2} << level;
      if (level > 0) {
        for (std::size_t i = 0; i < width / 2; ++i) {
          split(kernels, nodes.get()[i], &children.get()[2 * i]);
        }
        nodes.get() = children.get();
      }
      Block sums[2] = {};
      for (std::size_t i = 0; i < width; ++i) sums[i % 2] ^= nodes.get()[i];
      const std::size_t transfer = tree * kTreeDepth + (kTreeDepth - 1 - level);
      sums[0] ^= zero_keys[transfer];
      sums[1] ^= one_keys[transfer];
      std::memcpy(tree_message.data() + transfer * sizeof sums, sums, sizeof sums);
    }
    for (std::size_t x = 0; x < kLeaves; ++x) {
      kernels.expand_key(nodes.get()[x], leaves_[tree * kLeaves + x]);
    }
  }
}

void TransferReceiver::extend(const Block* choices, std::size_t transfers, Bytes corrections,
                              Block* labels) {
  const std::size_t units = units_for(transfers);
  const std::size_t stride = units * kUnitBlocks;
  const std::size_t sent = correction_blocks(transfers);
  grow_rows(rows_, units);
  Block* const u = rows_.data() + kTrees * kTreeDepth * stride;
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    Block* const first = rows_.data() + tree * kTreeDepth * stride;
    Block* const v[4] = {first, first + stride, first + 2 * stride, first + 3 * stride};
    kernels_->leaf_sums(&leaves_[tree * kLeaves], next_block_, units, u, v);
    for (std::size_t i = 0; i < sent; ++i) u[i] ^= choices[i];
    std::memcpy(corrections.data() + tree * sent * sizeof(Block), u, sent * sizeof(Block));
  }
  next_block_ += stride;
  kernels_->transpose(rows_.data(), units, labels);
}

TransferSender::TransferSender(const Kernels& kernels, Block delta,
                               const SecretArray<Block>& chosen_keys, ConstBytes tree_message)
    : kernels_(&kernels), delta_(delta), leaves_(kTrees * kLeaves) {
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    // `nodes` holds the node y = x ^ path at place y, so that the unknown one is always at 0 and
    // no address depends on Δ.
    Secret<Leaves> nodes;
    Secret<Leaves> children;
    for (std::size_t level = 0; level < kTreeDepth; ++level) {
      const std::size_t width = std::size_t{2} << level;
      const std::size_t transfer = tree * kTreeDepth + (kTreeDepth - 1 - level);
      const std::uint64_t path = bit_of(delta, transfer);
      children.get() = {};
      Block sum{};
      for (std::size_t y = 1; y < width / 2; ++y) {
        Secret<std::array<Block, 2>> pair;
        split(kernels, nodes.get()[y], pair.get().data());
        const Block difference = select(path, pair.get()[0] ^ pair.get()[1]);
        children.get()[2 * y] = pair.get()[0] ^ difference;
        children.get()[2 * y + 1] = pair.get()[1] ^ difference;
        sum ^= children.get()[2 * y + 1];
      }
      const Block left = load(tree_message, 2 * transfer);
      const Block right = load(tree_message, 2 * transfer + 1);
      // The sum of the side off the path, less what is known of it, is the path's sibling.
      const Block off_path = right ^ select(path, left ^ right);
      children.get()[1] = off_path ^ chosen_keys[transfer] ^ sum;
      nodes.get() = children.get();
    }
    for (std::size_t y = 0; y < kLeaves; ++y) {
      kernels.expand_key(nodes.get()[y], leaves_[tree * kLeaves + y]);
    }
  }
}

void TransferSender::extend(ConstBytes corrections, std::size_t transfers, Block* labels) {
  const std::size_t units = units_for(transfers);
  const std::size_t stride = units * kUnitBlocks;
  const std::size_t sent = correction_blocks(transfers);
  grow_rows(rows_, units);
  Block* const unused = rows_.data() + kTrees * kTreeDepth * stride;
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    Block* const first = rows_.data() + tree * kTreeDepth * stride;
    Block* const w[4] = {first, first + stride, first + 2 * stride, first + 3 * stride};
    kernels_->leaf_sums(&leaves_[tree * kLeaves], next_block_, units, unused, w);
    const std::uint8_t* const correction = corrections.data() + tree * sent * sizeof(Block);
    for (std::size_t bit = 0; bit < kTreeDepth; ++bit) {
      add_correction(w[bit], correction, sent, bit_of(delta_, tree * kTreeDepth + bit));
    }
  }
  next_block_ += stride;
  kernels_->transpose(rows_.data(), units, labels);
}

}  // namespace capc::gc
