#include "seed_trees.hpp"

#include <array>
#include <cstring>

#include "errors.hpp"

namespace capc::gc {
namespace {

constexpr std::size_t kSumsBytes = kTrees * kTreeDepth * 2 * sizeof(Block);

using Leaves = std::array<Block, kLeaves>;
using CheckString = std::array<std::uint64_t, kLeafCheckBytes / sizeof(std::uint64_t)>;
using CheckStrings = std::array<CheckString, kLeaves>;

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

[[nodiscard]] Digest digest_of(const Digest& session, const SecretArray<CheckStrings>& strings) {
  return Sha256()("capc tree check 2", {session,
                                        {reinterpret_cast<const std::uint8_t*>(strings.data()),
                                         strings.size() * sizeof(CheckStrings)}});
}

[[nodiscard]] Block load(ConstBytes bytes, std::size_t index) {
  Block b;
  std::memcpy(&b, bytes.data() + index * sizeof(Block), sizeof b);
  return b;
}

/// From leaf y ^ path at place y to leaf x at place x, with the same moves for every path.
void put_in_order(CheckStrings& strings, std::uint64_t path) {
  for (std::size_t level = 0; level < kTreeDepth; ++level) {
    const std::uint64_t mask = std::uint64_t{0} - ((path >> level) & 1U);
    const std::size_t step = std::size_t{1} << level;
    for (std::size_t x = 0; x < kLeaves; ++x) {
      if ((x & step) != 0) continue;
      for (std::size_t i = 0; i < strings[x].size(); ++i) {
        const std::uint64_t change = (strings[x][i] ^ strings[x + step][i]) & mask;
        strings[x][i] ^= change;
        strings[x + step][i] ^= change;
      }
    }
  }
}

/// The nodes of one punctured tree's last level: node y is the tree's node y ^ path.
void grow_punctured_tree(const Kernels& kernels, std::size_t tree, Block delta,
                         const SecretArray<Block>& chosen_keys, ConstBytes sums, Leaves& nodes) {
  Secret<Leaves> children;
  for (std::size_t level = 0; level < kTreeDepth; ++level) {
    const std::size_t width = std::size_t{2} << level;
    const std::size_t transfer = tree * kTreeDepth + (kTreeDepth - 1 - level);
    const std::uint64_t path = bit_of(delta, transfer);
    children.get() = {};
    Block sum{};
    for (std::size_t y = 1; y < width / 2; ++y) {
      Secret<std::array<Block, 2>> pair;
      split(kernels, nodes[y], pair.get().data());
      const Block difference = select(path, pair.get()[0] ^ pair.get()[1]);
      children.get()[2 * y] = pair.get()[0] ^ difference;
      children.get()[2 * y + 1] = pair.get()[1] ^ difference;
      sum ^= children.get()[2 * y + 1];
    }
    const Block left = load(sums, 2 * transfer);
    const Block right = load(sums, 2 * transfer + 1);
    // The sum of the side off the path, less what is known of it, is the path's sibling.
    const Block off_path = right ^ select(path, left ^ right);
    children.get()[1] = off_path ^ chosen_keys[transfer] ^ sum;
    nodes = children.get();
  }
}

}  // namespace

SecretArray<RoundKeys> grow_trees(const Kernels& kernels, const Digest& session,
                                  const SecretArray<Block>& zero_keys,
                                  const SecretArray<Block>& one_keys, Bytes message) {
  SecretArray<RoundKeys> keys(kTrees * kLeaves);
  SecretArray<CheckStrings> strings(kTrees);
  const LeafHash hash_leaf(kernels, session);
  Writer checks(message.subspan(kSumsBytes));
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
      std::memcpy(message.data() + transfer * sizeof sums, sums, sizeof sums);
    }
    CheckString sum{};
    for (std::size_t x = 0; x < kLeaves; ++x) {
      hash_leaf(tree, x, nodes.get()[x], keys[tree * kLeaves + x], strings[tree][x]);
      add(sum, strings[tree][x]);
    }
    checks.value(sum);
  }
  checks.value(digest_of(session, strings));
  return keys;
}

SecretArray<RoundKeys> grow_punctured_trees(const Kernels& kernels, const Digest& session,
                                            Block delta, const SecretArray<Block>& chosen_keys,
                                            ConstBytes message) {
  SecretArray<RoundKeys> keys(kTrees * kLeaves);
  SecretArray<CheckStrings> strings(kTrees);
  const LeafHash hash_leaf(kernels, session);
  const ConstBytes sums = message.first(kSumsBytes);
  Reader checks(message.subspan(kSumsBytes));
  for (std::size_t tree = 0; tree < kTrees; ++tree) {
    Secret<Leaves> nodes;
    grow_punctured_tree(kernels, tree, delta, chosen_keys, sums, nodes.get());
    std::uint64_t path = 0;
    for (std::size_t bit = 0; bit < kTreeDepth; ++bit) {
      path |= bit_of(delta, tree * kTreeDepth + bit) << bit;
    }
    auto missing = checks.value<CheckString>();
    for (std::size_t y = 1; y < kLeaves; ++y) {
      hash_leaf(tree, y ^ path, nodes.get()[y], keys[tree * kLeaves + y], strings[tree][y]);
      add(missing, strings[tree][y]);
    }
    strings[tree][0] = missing;
    put_in_order(strings[tree], path);
  }
  const Digest expected = digest_of(session, strings);
  const auto sent = checks.value<Digest>();
  require_digest(expected, sent, "the peer's seed trees do not fit their check");
  return keys;
}

}  // namespace capc::gc
