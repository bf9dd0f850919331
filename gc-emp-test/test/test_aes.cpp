// AES and the loops built on it, on every path: published vectors, OpenSSL, and each other.

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "builder.hpp"
#include "check.hpp"
#include "circuits.hpp"
#include "kernels.hpp"
#include "secret.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

Block from_hex(const char* text) {
  std::array<std::uint8_t, 16> bytes;
  for (std::size_t i = 0; i < 16; ++i) {
    bytes[i] = static_cast<std::uint8_t>(std::stoi(std::string(text + 2 * i, 2), nullptr, 16));
  }
  Block block;
  std::memcpy(&block, bytes.data(), 16);
  return block;
}

Block random_block() { return {rng()(), rng()()}; }

Block openssl_encrypt(Block key, Block in) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  std::array<std::uint8_t, 32> out;
  int length = 0;
  EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), nullptr,
                     reinterpret_cast<const std::uint8_t*>(&key), nullptr);
  EVP_EncryptUpdate(context, out.data(), &length, reinterpret_cast<const std::uint8_t*>(&in), 16);
  EVP_CIPHER_CTX_free(context);
  Block result;
  std::memcpy(&result, out.data(), 16);
  return result;
}

void published_vectors(const Kernels& kernels) {
  // FIPS-197, appendices B and C.1; the last round key from appendix A.1.
  const Block keys[2] = {from_hex("2b7e151628aed2a6abf7158809cf4f3c"),
                         from_hex("000102030405060708090a0b0c0d0e0f")};
  const Block in[2] = {from_hex("3243f6a8885a308d313198a2e0370734"),
                       from_hex("00112233445566778899aabbccddeeff")};
  Block out[2];
  kernels.encrypt(keys, in, out, 2);
  CHECK(out[0] == from_hex("3925841d02dc09fbdc118597196a0b32"));
  CHECK(out[1] == from_hex("69c4e0d86a7b0430d8cdb78070b4c55a"));
  RoundKeys expanded;
  kernels.expand_key(keys[0], expanded);
  CHECK(expanded.k[0] == keys[0]);
  CHECK(expanded.k[1] == from_hex("a0fafe1788542cb123a339392a6c7605"));
  CHECK(expanded.k[10] == from_hex("d014f9a8c9ee2589e13f0cc8b6630ca6"));
}

void against_openssl(const Kernels& kernels) {
  for (const std::size_t count : {1U, 3U, 4U, 16U, 17U, 100U}) {
    SecretArray<Block> keys(count), in(count), out(count);
    for (auto& b : keys) b = random_block();
    for (auto& b : in) b = random_block();
    kernels.encrypt(keys.data(), in.data(), out.data(), count);
    for (std::size_t i = 0; i < count; ++i) CHECK(out[i] == openssl_encrypt(keys[i], in[i]));

    const Block start = random_block();
    const std::uint64_t first = rng()();
    kernels.hash(start, first, in.data(), out.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      const Block x = sigma(in[i]);
      CHECK(out[i] == (openssl_encrypt(start ^ Block{first + i, 0}, x) ^ x));
    }

    RoundKeys key;
    kernels.expand_key(start, key);
    kernels.stream(key, first, out.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(out[i] == openssl_encrypt(start, Block{first + i, 0}));
    }
    kernels.stream_lane(key, first, out.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(out[i] == openssl_encrypt(start, Block{kLanes * (first + i), 0}));
    }
  }
}

void leaf_sums(const Kernels& kernels) {
  constexpr std::size_t kUnits = 3;
  constexpr std::size_t kBlocks = kUnits * kUnitBlocks;
  Block seeds[kLeaves];
  SecretArray<RoundKeys> leaves(kLeaves);
  for (std::size_t x = 0; x < kLeaves; ++x) {
    seeds[x] = random_block();
    kernels.expand_key(seeds[x], leaves[x]);
  }
  SecretArray<Block> u(kBlocks), rows(4 * kBlocks);
  Block* const v[4] = {&rows[0], &rows[kBlocks], &rows[2 * kBlocks], &rows[3 * kBlocks]};
  kernels.leaf_sums(leaves.data(), 77, kUnits, u.data(), v);
  for (std::size_t i = 0; i < kBlocks; ++i) {
    Block expected[5] = {};
    for (std::size_t x = 0; x < kLeaves; ++x) {
      const Block p = openssl_encrypt(seeds[x], Block{77 + i, 0});
      expected[4] ^= p;
      for (std::size_t bit = 0; bit < 4; ++bit) {
        if (((x >> bit) & 1) != 0) expected[bit] ^= p;
      }
    }
    CHECK(u[i] == expected[4]);
    for (std::size_t bit = 0; bit < 4; ++bit) CHECK(v[bit][i] == expected[bit]);
  }
}

void transpose(const Kernels& kernels) {
  constexpr std::size_t kUnits = 2;
  constexpr std::size_t kStride = (kUnits + 1) * kUnitBlocks;  // one more, for the check
  SecretArray<Block> rows(128 * kStride), out(kUnits * kUnitColumns);
  for (auto& b : rows) b = random_block();
  kernels.transpose(rows.data(), kStride, kUnits, out.data());
  const auto bit = [](Block b, std::size_t i) { return ((i < 64 ? b.lo : b.hi) >> (i % 64)) & 1; };
  for (std::size_t column = 0; column < out.size(); ++column) {
    for (std::size_t row = 0; row < 128; ++row) {
      CHECK(bit(out[column], row) == bit(rows[row * kStride + column / 128], column % 128));
    }
  }
}

Block hash_of(Block start, std::uint64_t tweak, Block label) {
  const Block x = sigma(label);
  return openssl_encrypt(start ^ Block{tweak, 0}, x) ^ x;
}

/// Half-gates written out for one lane after Zahur, Rosulek and Evans, figure 2: the kernels must
/// send the same rows under the same tweaks, and the evaluator must end on the right label.
void half_gates(const Kernels& kernels) {
  constexpr std::size_t kSlots = 5;
  constexpr std::uint64_t kStride = 1000;
  const Op ops[] = {{3, 0, 1, false, false, false},
                    {4, 3, 2, true, false, true, 1, 0},
                    {0, 4, 3, true, true, false, 1, 1},
                    {1, 0, 4, false, false, false},
                    {2, 1, 1, true, true, true, 1, 2}};
  const Block start = random_block();
  const Block delta{rng()() | 1U, rng()()};
  const std::uint64_t first = rng()() & ~std::uint64_t{1};
  for (const std::size_t lanes : {1U, 3U, 4U, 7U, 16U}) {
    SecretArray<Block> zero(kSlots * kLanes), active(kSlots * kLanes);
    std::vector<std::uint8_t> bit(kSlots * kLanes), tables(3 * kTableBytes * lanes);
    for (std::size_t i = 0; i < 3 * kLanes; ++i) {
      zero[i] = random_block();
      bit[i] = rng()() & 1U;
      active[i] = zero[i] ^ select(bit[i], delta);
    }
    SecretArray<Block> expected(kSlots * kLanes);
    std::copy(zero.begin(), zero.end(), expected.begin());
    kernels.garble({ops, 5, zero.data(), lanes, delta, {start, first, kStride}, tables.data()});
    kernels.evaluate({ops, 5, active.data(), lanes, {start, first, kStride}, tables.data()});
    std::size_t gate = 0;
    for (const Op& op : ops) {
      for (std::size_t i = 0; i < lanes; ++i) {
        const auto at = [&](std::uint32_t slot) { return slot * slot_stride(lanes) + i; };
        const std::uint8_t x = bit[at(op.a)] ^ std::uint8_t{op.invert_a};
        const std::uint8_t y = bit[at(op.b)] ^ std::uint8_t{op.invert_b};
        if (!op.is_and) {
          expected[at(op.out)] = expected[at(op.a)] ^ expected[at(op.b)];
          bit[at(op.out)] = x ^ y;
          continue;
        }
        const Block a = expected[at(op.a)] ^ select(op.invert_a, delta);
        const Block b = expected[at(op.b)] ^ select(op.invert_b, delta);
        const std::uint64_t tweak = first + 2 * (gate * kStride + i);
        const Block ha = hash_of(start, tweak, a);
        const Block hb = hash_of(start, tweak + 1, b);
        const Block generator = ha ^ hash_of(start, tweak, a ^ delta) ^ select(b.colour(), delta);
        const Block evaluator = hb ^ hash_of(start, tweak + 1, b ^ delta) ^ a;
        Block row;
        std::memcpy(&row, &tables[kTableBytes * lanes * gate + 16 * i], 16);
        CHECK(row == generator);
        std::memcpy(&row, &tables[kTableBytes * lanes * gate + 16 * (lanes + i)], 16);
        CHECK(row == evaluator);
        expected[at(op.out)] =
            ha ^ select(a.colour(), generator) ^ hb ^ select(b.colour(), evaluator ^ a);
        bit[at(op.out)] = x & y;
      }
      gate += op.is_and ? 1 : 0;
    }
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      for (std::size_t i = 0; i < lanes; ++i) {
        const std::size_t at = slot * slot_stride(lanes) + i;
        CHECK(zero[at] == expected[at]);
        CHECK(active[at] == (expected[at] ^ select(bit[at], delta)));
      }
    }
  }
}

/// The circuit garbled for one instance, from the same labels, in an order of its steps: tables and
/// zero labels of the outputs, and the active labels that the tables lead to.
struct OneInstance {
  OneInstance(const Kernels& kernels, const Circuit& circuit, Order order,
              const SecretArray<Block>& inputs, Block delta, Block start)
      : program(circuit, order), tables(circuit.and_count() * kTableBytes) {
    constexpr std::uint64_t kStride = 1000;
    const TweakRange tweaks{start, 10, kStride};
    SecretArray<Block> zero(program.slot_count() * kLanes), active(zero.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      zero[program.input_slots()[i]] = inputs[i];
      active[program.input_slots()[i]] = inputs[i] ^ select(i % 3, delta);
    }
    const std::vector<Op>& ops = program.ops();
    kernels.garble({ops.data(), ops.size(), zero.data(), 1, delta, tweaks, tables.data()});
    kernels.evaluate({ops.data(), ops.size(), active.data(), 1, tweaks, tables.data()});
    for (const std::vector<SlotRef>& refs : program.outputs()) {
      for (const SlotRef& ref : refs) {
        zero_labels.push_back(zero[ref.slot] ^ select(ref.invert, delta));
        active_labels.push_back(active[ref.slot]);
      }
    }
  }

  Program program;
  std::vector<std::uint8_t> tables;
  std::vector<Block> zero_labels;
  std::vector<Block> active_labels;
};

/// Products that each need the one before, with nothing in between.
Circuit product_of_all(std::size_t inputs) {
  Builder builder;
  const Bits bits = builder.input(InputKind::Evaluator, inputs);
  Bit product = bits[0];
  for (std::size_t i = 1; i < inputs; ++i) product = builder.and_(product, bits[i]);
  builder.output(OutputKind::Evaluator, {product});
  return builder.finish();
}

/// What is sent for one instance, and what it means, do not depend on the order of the steps.
void orders_agree(const Kernels& kernels) {
  for (const Circuit& circuit : {relu_circuit(5, 1), argmax_circuit(7, 5, 8), product_of_all(6),
                                 noisy_argmax_circuit(6, 4, true)}) {
    const Block delta{rng()() | 1U, rng()()};
    const Block start = random_block();
    SecretArray<Block> inputs(Program(circuit).input_slots().size());
    for (Block& label : inputs) label = random_block();
    const OneInstance built(kernels, circuit, Order::Built, inputs, delta, start);
    const OneInstance levelled(kernels, circuit, Order::ByLevels, inputs, delta, start);
    CHECK(built.tables == levelled.tables);
    CHECK(built.zero_labels == levelled.zero_labels);
    CHECK(built.active_labels == levelled.active_labels);
    for (std::size_t i = 0; i < built.active_labels.size(); ++i) {
      const Block offset = built.active_labels[i] ^ built.zero_labels[i];
      CHECK(offset == Block{} || offset == delta);
    }
  }
}

void orthomorphism() {
  // x -> sigma(x) and x -> sigma(x) ^ x must both be one to one: no non-zero x maps to zero.
  for (int i = 0; i < 1000; ++i) {
    const Block x = random_block();
    CHECK(!(sigma(x) == Block{}) && !((sigma(x) ^ x) == Block{}));
    CHECK(sigma({x.lo, 0}) == (Block{0, x.lo}));
    CHECK((sigma(sigma(x)) ^ sigma(x) ^ x) == Block{});  // sigma^2 = sigma + 1, so both invert
  }
}

}  // namespace

int main() {
  return run_tests([] {
    orthomorphism();
    for (const Path path : {Path::Portable, Path::AesNi, Path::Vaes}) {
      if (!is_supported(path)) {
        std::cout << path_name(path) << ": not on this processor\n";
        continue;
      }
      const Kernels& kernels = kernels_of(path);
      published_vectors(kernels);
      against_openssl(kernels);
      half_gates(kernels);
      orders_agree(kernels);
      leaf_sums(kernels);
      transpose(kernels);
    }
  });
}
