#include "word_digest.hpp"

#include <openssl/sha.h>

#include <cstddef>

namespace capc::gc {

void append_number(std::vector<std::uint8_t>& text, std::uint64_t number) {
  for (std::size_t i = 0; i < sizeof(number); ++i) {
    text.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
  }
}

std::uint64_t short_digest(const std::vector<std::uint8_t>& text) {
  std::uint8_t hash[SHA256_DIGEST_LENGTH];
  SHA256(text.data(), text.size(), hash);
  std::uint64_t result = 0;
  for (std::size_t i = 0; i < sizeof(result); ++i) result |= std::uint64_t{hash[i]} << (8 * i);
  return result;
}

}  // namespace capc::gc
