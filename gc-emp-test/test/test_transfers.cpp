// Base oblivious transfers and their extension: q_i = t_i ^ c_i delta, and no pad used twice.

#include <algorithm>
#include <set>

#include "base_ot.hpp"
#include "check.hpp"
#include "errors.hpp"
#include "kernels.hpp"
#include "ot_extension.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

struct BaseKeys {
  SecretArray<Block> zero{kBaseTransfers};
  SecretArray<Block> one{kBaseTransfers};
  SecretArray<Block> chosen{kBaseTransfers};
};

BaseKeys run_base(Block choices) {
  BaseKeys keys;
  BaseSender sender;
  BaseReceiver receiver;
  std::vector<std::uint8_t> offer(kPointBytes), points(kBaseTransfers * kPointBytes);
  sender.offer(offer);
  receiver.choose(offer, choices, points);
  receiver.keys(keys.chosen);
  sender.keys(points, keys.zero, keys.one);
  return keys;
}

void base_transfers() {
  const Block choices{0x123456789abcdef1, 0xfedcba9876543210};
  const BaseKeys keys = run_base(choices);
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  for (std::size_t i = 0; i < kBaseTransfers; ++i) {
    const bool bit = (((i < 64 ? choices.lo : choices.hi) >> (i % 64)) & 1) != 0;
    CHECK(keys.chosen[i] == (bit ? keys.one[i] : keys.zero[i]));
    seen.insert({keys.zero[i].lo, keys.zero[i].hi});
    seen.insert({keys.one[i].lo, keys.one[i].hi});
  }
  CHECK(seen.size() == 2 * kBaseTransfers);
}

void bad_points() {
  BaseSender sender;
  std::vector<std::uint8_t> offer(kPointBytes), points(kBaseTransfers * kPointBytes);
  sender.offer(offer);
  std::vector<std::uint8_t> bad = offer;
  bad[40] ^= 1;
  CHECK_THROWS(ProtocolError, BaseReceiver().choose(bad, {}, points));
  bad.assign(kPointBytes, 0);
  CHECK_THROWS(ProtocolError, BaseReceiver().choose(bad, {}, points));
  SecretArray<Block> zero(kBaseTransfers), one(kBaseTransfers);
  CHECK_THROWS(ProtocolError, sender.keys(points, zero, one));
}

void extension(Path receiver_path, Path sender_path) {
  Block delta{rng()() | 1U, rng()()};
  const BaseKeys keys = run_base(TransferSender::base_choices(delta));
  std::vector<std::uint8_t> trees(kTreeMessageBytes);
  TransferReceiver receiver(kernels_of(receiver_path), keys.zero, keys.one, trees);
  TransferSender sender(kernels_of(sender_path), delta, keys.chosen, trees);
  std::set<std::pair<std::uint64_t, std::uint64_t>> labels_seen;
  std::size_t total = 0;
  for (const std::size_t count : {1U, 127U, 128U, 470U, 512U, 513U, 3008U, 3008U}) {
    const std::size_t padded = padded_transfers(count);
    SecretArray<Block> choices(padded / 128), t(padded), q(padded);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t bit = rng()() & 1U;
      ((i % 128) < 64 ? choices[i / 128].lo : choices[i / 128].hi) |= bit << (i % 64);
    }
    std::vector<std::uint8_t> corrections(correction_bytes(count));
    CHECK(corrections.size() == 512 * ((count + 127) / 128));  // 4 bytes a transfer, by 128
    receiver.extend(choices.data(), count, corrections, t.data());
    sender.extend(corrections, count, q.data());
    for (std::size_t i = 0; i < count; ++i) {
      const Block c = choices[i / 128];
      const std::uint64_t bit = (((i % 128) < 64 ? c.lo : c.hi) >> (i % 64)) & 1U;
      CHECK(q[i] == (t[i] ^ select(bit, delta)));
      labels_seen.insert({t[i].lo, t[i].hi});
    }
    total += count;
  }
  CHECK(labels_seen.size() == total);
}

}  // namespace

int main() {
  return run_tests([] {
    base_transfers();
    bad_points();
    const Path best = best_path();
    extension(best, best);
    extension(Path::Portable, best);
    extension(best, Path::Portable);
    if (is_supported(Path::AesNi)) extension(Path::AesNi, Path::AesNi);
  });
}
