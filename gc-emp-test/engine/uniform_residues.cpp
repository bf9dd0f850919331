#include "uniform_residues.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

namespace capc::gc {
namespace {

static_assert(std::endian::native == std::endian::little);

void require(bool ok) {
  if (!ok) throw std::runtime_error("OpenSSL failed to encrypt");
}

/// AES-256 in counter mode, from 0 on.
class KeyStream {
 public:
  explicit KeyStream(const ResidueSeed& key) : context_(EVP_CIPHER_CTX_new()) {
    constexpr std::array<std::uint8_t, 16> kStart{};
    require(context_ != nullptr);
    require(EVP_EncryptInit_ex2(context_.get(), EVP_aes_256_ctr(), key.data(), kStart.data(),
                                nullptr) == 1);
  }

  void fill(std::span<std::uint8_t> bytes) {
    int written = 0;
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
    require(EVP_EncryptUpdate(context_.get(), bytes.data(), &written, bytes.data(),
                              static_cast<int>(bytes.size())) == 1);
  }

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

/// So many words at a time stay in the first-level cache.
constexpr std::size_t kWordsAtOnce = 1024;

template <class Word>
void fill_row(KeyStream& stream, std::uint64_t prime, std::span<std::uint64_t> row) {
  const auto mask = static_cast<Word>(~std::uint64_t{0} >> std::countl_zero(prime));
  std::array<std::uint8_t, kWordsAtOnce * sizeof(Word)> bytes;
  for (std::size_t filled = 0; filled < row.size();) {
    const std::size_t missing = std::min(kWordsAtOnce, row.size() - filled);
    stream.fill({bytes.data(), missing * sizeof(Word)});
    for (std::size_t k = 0; k < missing; ++k) {
      Word word = 0;
      std::memcpy(&word, bytes.data() + k * sizeof(Word), sizeof(Word));
      row[filled] = word & mask;  // the next one takes the place of one that is not below
      if ((word & mask) < prime) ++filled;
    }
  }
}

}  // namespace

void expand_residues(const ResidueSeed& seed, std::span<const std::uint64_t> primes,
                     std::size_t count, std::size_t degree, std::uint64_t* out) {
  KeyStream stream(seed);
  for (std::size_t row = 0; row < count * primes.size(); ++row, out += degree) {
    const std::uint64_t prime = primes[row % primes.size()];
    if (prime >> 32U == 0) {
      fill_row<std::uint32_t>(stream, prime, {out, degree});
    } else {
      fill_row<std::uint64_t>(stream, prime, {out, degree});
    }
  }
}

}  // namespace capc::gc
