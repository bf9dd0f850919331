#include "hashing.hpp"

#include <stdexcept>

namespace capc::gc {
namespace {

void require(bool ok) {
  if (!ok) throw std::runtime_error("OpenSSL failed to hash");
}

}  // namespace

Hash::Hash(const char* algorithm, std::size_t digest_bytes)
    : algorithm_(EVP_MD_fetch(nullptr, algorithm, nullptr)), context_(EVP_MD_CTX_new()) {
  require(algorithm_ != nullptr && context_ != nullptr);
  require(static_cast<std::size_t>(EVP_MD_get_size(algorithm_.get())) == digest_bytes);
}

void Hash::digest(std::string_view domain, std::initializer_list<ConstBytes> parts,
                  std::uint8_t* out) const {
  static constexpr std::uint8_t kEnd = 0;
  require(EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) == 1);
  require(EVP_DigestUpdate(context_.get(), domain.data(), domain.size()) == 1);
  require(EVP_DigestUpdate(context_.get(), &kEnd, 1) == 1);
  for (const ConstBytes part : parts) {
    require(EVP_DigestUpdate(context_.get(), part.data(), part.size()) == 1);
  }
  require(EVP_DigestFinal_ex(context_.get(), out, nullptr) == 1);
}

}  // namespace capc::gc
