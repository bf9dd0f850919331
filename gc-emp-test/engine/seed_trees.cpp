#include "seed_trees.hpp"

#include <array>
#include <cstring>
#include <utility>

#include "errors.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kSumsBytes = 2 * kBaseTransfers * sizeof(Block);

using CheckString = std::array<std::uint64_t, kLeafCheckBytes / sizeof(std::uint64_t)>;

void add(CheckString& sum, const CheckString& other) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] ^= other[i];
}

/// The two children of a seed: the AES-128 key stream under it.
void split(const Kernels& kernels, Block seed, Block* children) {
  Secret<RoundKeys> keys;
  kernels.expand_key(seed, keys.get());
  kernels.stream(keys.get(), 0, children, 2);
}

/// A leaf's seed, expanded, and its check string.
class LeafHash {
 public:
  LeafHash(const Kernels& kernels, const Digest& session) : kernels_(kernels), session_(session) {}

  void operator()(std::size_t tree, std::size_t leaf, Block node, RoundKeys& key,
                  CheckString& check) const {
    const std::array<std::uint8_t, 2> index = {static_cast<std::uint8_t>(tree),
                                               static_cast<std::uint8_t>(leaf)};
    Secret<WideDigest> digest;
    hash_("capc tree leaf 2", {session_, index, bytes_of(node)}, digest.get());
    std::memcpy(check.data(), digest.get().data(), kLeafCheckBytes);
    Secret<Block> seed;
    std::memcpy(&seed.get(), digest.get().data() + kLeafCheckBytes, sizeof(Block));
    kernels_.expand_key(seed.get(), key);
  }

 private:
  const Kernels& kernels_;
  Digest session_;
  Sha512 hash_;
};

[[nodiscard]] Digest digest_of(const Digest& session, const SecretArray<CheckString>& strings) {
  return Sha256()("capc tree check 2", {session,
                                        {reinterpret_cast<const std::uint8_t*>(strings.data()),
                                         strings.size() * sizeof(CheckString)}});
}

[[nodiscard]] Block load(ConstBytes bytes, std::size_t index) {
  Block b;
  std::memcpy(&b, bytes.data() + index * sizeof(Block), sizeof b);
  return b;
}

/// The base transfer of a tree's level, and so the bit of Δ: the root's is the tree's highest.
[[nodiscard]] std::size_t transfer_of(const TreeShape& shape, std::size_t tree, std::size_t level) {
  return tree * shape.depth + (shape.depth - 1 - level);
}

/// From leaf y ^ path at place y to leaf x at place x, with the same moves for every path.
void put_in_order(CheckString* strings, const TreeShape& shape, std::uint64_t path) {
  for (std::size_t level = 0; level < shape.depth; ++level) {
    const std::uint64_t mask = std::uint64_t{0} - ((path >> level) & 1U);
    const std::size_t step = std::size_t{1} << level;
    for (std::size_t x = 0; x < shape.leaves(); ++x) {
      if ((x & step) != 0) continue;
      for (std::size_t i = 0; i < strings[x].size(); ++i) {
        const std::uint64_t change = (strings[x][i] ^ strings[x + step][i]) & mask;
        strings[x][i] ^= change;
        strings[x + step][i] ^= change;
      }
    }
  }
}

/// The nodes of a tree's last level, and the masked sums of each level's left and right nodes.
[[nodiscard]] SecretArray<Block> grow_tree(const Kernels& kernels, const TreeShape& shape,
                                           std::size_t tree, const SecretArray<Block>& zero_keys,
                                           const SecretArray<Block>& one_keys, Bytes all_sums) {
  SecretArray<Block> nodes(shape.leaves());
  SecretArray<Block> children(shape.leaves());
  random_bytes(nodes.data(), 2 * sizeof(Block));  // the two subtrees under the root
  for (std::size_t level = 0; level < shape.depth; ++level) {
    const std::size_t width = std::size_t{2} << level;
    if (level > 0) {
      for (std::size_t i = 0; i < width / 2; ++i) split(kernels, nodes[i], &children[2 * i]);
      std::swap(nodes, children);
    }
    Block sums[2] = {};
    for (std::size_t i = 0; i < width; ++i) sums[i % 2] ^= nodes[i];
    const std::size_t transfer = transfer_of(shape, tree, level);
    sums[0] ^= zero_keys[transfer];
    sums[1] ^= one_keys[transfer];
    std::memcpy(all_sums.data() + transfer * sizeof sums, sums, sizeof sums);
  }
  return nodes;
}

/// The nodes of one punctured tree's last level: node y is the tree's node y ^ path.
[[nodiscard]] SecretArray<Block> grow_punctured_tree(const Kernels& kernels, const TreeShape& shape,
                                                     std::size_t tree, Block delta,
                                                     const SecretArray<Block>& chosen_keys,
                                                     ConstBytes all_sums) {
  SecretArray<Block> nodes(shape.leaves());
  SecretArray<Block> children(shape.leaves());
  for (std::size_t level = 0; level < shape.depth; ++level) {
    const std::size_t width = std::size_t{2} << level;
    const std::size_t transfer = transfer_of(shape, tree, level);
    const std::uint64_t path = bit_of(delta, transfer);
    Block sum{};
    children[0] = {};
    for (std::size_t y = 1; y < width / 2; ++y) {
      Secret<std::array<Block, 2>> pair;
      split(kernels, nodes[y], pair.get().data());
      const Block difference = select(path, pair.get()[0] ^ pair.get()[1]);
      children[2 * y] = pair.get()[0] ^ difference;
      children[2 * y + 1] = pair.get()[1] ^ difference;
      sum ^= children[2 * y + 1];
    }
    const Block left = load(all_sums, 2 * transfer);
    const Block right = load(all_sums, 2 * transfer + 1);
    // The sum of the side off the path, less what is known of it, is the path's sibling.
    const Block off_path = right ^ select(path, left ^ right);
    children[1] = off_path ^ chosen_keys[transfer] ^ sum;
    std::swap(nodes, children);
  }
  return nodes;
}

}  // namespace

SecretArray<RoundKeys> grow_trees(const Kernels& kernels, const TreeShape& shape,
                                  const Digest& session, const SecretArray<Block>& zero_keys,
                                  const SecretArray<Block>& one_keys, Bytes message) {
  SecretArray<RoundKeys> keys(shape.trees() * shape.leaves());
  SecretArray<CheckString> strings(keys.size());
  const LeafHash hash_leaf(kernels, session);
  Writer checks(message.subspan(kSumsBytes));
  for (std::size_t tree = 0; tree < shape.trees(); ++tree) {
    const SecretArray<Block> nodes =
        grow_tree(kernels, shape, tree, zero_keys, one_keys, message.first(kSumsBytes));
    const std::size_t first = tree * shape.leaves();
    CheckString sum{};
    for (std::size_t x = 0; x < shape.leaves(); ++x) {
      hash_leaf(tree, x, nodes[x], keys[first + x], strings[first + x]);
      add(sum, strings[first + x]);
    }
    checks.value(sum);
  }
  checks.value(digest_of(session, strings));
  return keys;
}

SecretArray<RoundKeys> grow_punctured_trees(const Kernels& kernels, const TreeShape& shape,
                                            const Digest& session, Block delta,
                                            const SecretArray<Block>& chosen_keys,
                                            ConstBytes message) {
  SecretArray<RoundKeys> keys(shape.trees() * shape.leaves());
  SecretArray<CheckString> strings(keys.size());
  const LeafHash hash_leaf(kernels, session);
  const ConstBytes sums = message.first(kSumsBytes);
  Reader checks(message.subspan(kSumsBytes));
  for (std::size_t tree = 0; tree < shape.trees(); ++tree) {
    const SecretArray<Block> nodes =
        grow_punctured_tree(kernels, shape, tree, delta, chosen_keys, sums);
    const std::size_t first = tree * shape.leaves();
    std::uint64_t path = 0;
    for (std::size_t bit = 0; bit < shape.depth; ++bit) {
      path |= bit_of(delta, tree * shape.depth + bit) << bit;
    }
    auto missing = checks.value<CheckString>();
    for (std::size_t y = 1; y < shape.leaves(); ++y) {
      hash_leaf(tree, y ^ path, nodes[y], keys[first + y], strings[first + y]);
      add(missing, strings[first + y]);
    }
    strings[first] = missing;
    put_in_order(&strings[first], shape, path);
  }
  const Digest expected = digest_of(session, strings);
  const auto sent = checks.value<Digest>();
  require_digest(expected, sent, "the peer's seed trees do not fit their check");
  return keys;
}

}  // namespace capc::gc
