// Hashing to the curve by RFC 9380's vectors, and the check's universal hash on every path.

#include <string>

#include "check.hpp"
#include "consistency_check.hpp"
#include "errors.hpp"
#include "hash_to_curve.hpp"
#include "kernels.hpp"

using namespace capc::gc;
using namespace capc::gc::test;

namespace {

struct CurveVector {
  std::string message;
  const char* x;
  const char* y;
};

[[nodiscard]] ConstBytes bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] std::string hex_of(const EncodedPoint& point) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : point) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

/// Appendix J.1.1 of the RFC.
void curve_vectors() {
  const CurveVector vectors[] = {
      {"", "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4",
       "8a7a74985cc5c776cdfe4b1f19884970453912e9d31528c060be9ab5c43e8415"},
      {"abc", "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f",
       "5c41b3d0731a27a7b14bc0bf0ccded2d8751f83493404c84a88e71ffd424212e"},
      {"abcdef0123456789", "65038ac8f2b1def042a5df0b33b1f4eca6bff7cb0f9c6c1526811864e544ed80",
       "cad44d40a656e7aff4002a8de287abc8ae0482b5ae825822bb870d6df9b56ca3"},
      {"q128_" + std::string(128, 'q'),
       "4be61ee205094282ba8a2042bcb48d88dfbb609301c49aa8b078533dc65a0b5d",
       "98f8df449a072c4721d241a3b1236d3caccba603f916ca680f4539d2bfb3c29e"},
      {"a512_" + std::string(512, 'a'),
       "457ae2981f70ca85d8e24c308b14db22f3e3862c5ea0f652ca38b5e49cd64bc5",
       "ecb9f0eadc9aeed232dabc53235368c1394c78de05dd96893eefa62b0f4757dc"}};
  const Curve curve;
  for (const CurveVector& vector : vectors) {
    EncodedPoint point;
    curve.encode(
        hash_to_curve(curve, bytes(vector.message), "QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_"),
        point.data());
    CHECK(hex_of(point) == std::string("04") + vector.x + vector.y);
  }
  CHECK_THROWS(UsageError, (void)hash_to_curve(curve, {}, ""));
  CHECK_THROWS(UsageError, (void)hash_to_curve(curve, {}, std::string(256, 'd')));
}

/// The product as at school: 255 coefficients, then the modulus from the top.
[[nodiscard]] Block slow_product(Block a, Block b) {
  bool product[256] = {};
  for (std::size_t i = 0; i < 128; ++i) {
    for (std::size_t j = 0; j < 128; ++j) {
      if ((bit_of(a, i) & bit_of(b, j)) != 0) product[i + j] = !product[i + j];
    }
  }
  for (std::size_t top = 255; top >= 128; --top) {
    if (!product[top]) continue;
    for (const std::size_t term : {0U, 1U, 2U, 7U, 128U}) {
      product[top - 128 + term] = !product[top - 128 + term];
    }
  }
  Block result{};
  for (std::size_t i = 0; i < 128; ++i) {
    const std::uint64_t bit = product[i] ? std::uint64_t{1} << (i % 64) : 0;
    (i < 64 ? result.lo : result.hi) |= bit;
  }
  return result;
}

[[nodiscard]] Block random_block() { return {rng()(), rng()()}; }

void row_hashes(Path path) {
  const Kernels& kernels = kernels_of(path);
  for (const std::size_t count : {1U, 2U, 3U, 4U, 5U, 8U, 25U}) {
    const std::size_t stride = (count + 3) / 4 * 4;
    constexpr std::size_t kRows = 3;
    SecretArray<Block> rows(kRows * stride), coefficients(count);
    for (Block& block : rows) block = random_block();
    for (Block& block : coefficients) block = random_block();
    coefficients[0] = {~0ULL, ~0ULL};
    rows[0] = {~0ULL, ~0ULL};
    Block out[kRows];
    kernels.row_hashes(rows.data(), stride, kRows, coefficients.data(), count, out);
    for (std::size_t r = 0; r < kRows; ++r) {
      Block expected{};
      for (std::size_t j = 0; j < count; ++j) {
        expected ^= slow_product(coefficients[j], rows[r * stride + j]);
      }
      CHECK(out[r] == expected);
    }
  }
}

/// The field is GCM's but for the order of bits: test case 2 of McGrew and Viega's paper, whose
/// H times its ciphertext block is known.
void published_product() {
  const auto reversed = [](std::uint64_t high, std::uint64_t low) {
    Block block{};
    for (std::size_t i = 0; i < 64; ++i) {
      block.lo |= ((high >> (63 - i)) & 1U) << i;
      block.hi |= ((low >> (63 - i)) & 1U) << i;
    }
    return block;
  };
  const Block h = reversed(0x66e94bd4ef8a2c3b, 0x884cfa59ca342b2e);
  const Block ciphertext = reversed(0x0388dace60b6a392, 0xf328c2b971b2fe78);
  CHECK(slow_product(h, ciphertext) == reversed(0x5e2ec74691706288, 0x2c85b0685353deb7));
}

/// Linear, so that the garbler can correct its hashes; and no row but 0 hashes to 0 by chance.
void hash_is_linear() {
  const Kernels& kernels = kernels_of(best_path());
  const RowHash hash(kernels, Digest{1, 2, 3}, 5);
  Block a[5], b[5], sum[5], hashed[3];
  for (std::size_t i = 0; i < 5; ++i) {
    a[i] = random_block();
    b[i] = random_block();
    sum[i] = a[i] ^ b[i];
  }
  hash(a, 5, 1, &hashed[0]);
  hash(b, 5, 1, &hashed[1]);
  hash(sum, 5, 1, &hashed[2]);
  CHECK(hashed[2] == (hashed[0] ^ hashed[1]));
  const RowHash other(kernels, Digest{1, 2, 4}, 5);
  other(a, 5, 1, &hashed[1]);
  CHECK(!(hashed[0] == hashed[1]));
  const Block mask[5] = {{}, {}, {}, {}, {7, 9}};
  hash(mask, 5, 1, &hashed[0]);
  CHECK((hashed[0] == Block{7, 9}));
}

}  // namespace

int main() {
  return run_tests([] {
    curve_vectors();
    published_product();
    for (const Path path : {Path::Portable, Path::AesNi, Path::Vaes}) {
      if (is_supported(path)) row_hashes(path);
    }
    hash_is_linear();
  });
}
