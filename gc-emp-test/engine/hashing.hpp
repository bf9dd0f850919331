#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string_view>

#include "wire_format.hpp"

namespace capc::gc {

/// A hash function of OpenSSL's, for the random oracles of the set-up and of the transfers.
///
/// Every digest begins with the name of what it is for. The name ends with a zero byte and fixes
/// the lengths of the parts but one, so that no two inputs read the same.
class Hash {
 public:
  Hash(const char* algorithm, std::size_t digest_bytes);

  void digest(std::string_view domain, std::initializer_list<ConstBytes> parts,
              std::uint8_t* out) const;

 private:
  struct Free {
    void operator()(EVP_MD* algorithm) const { EVP_MD_free(algorithm); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD, Free> algorithm_;
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

using Digest = std::array<std::uint8_t, 32>;

/// ProtocolError with the complaint unless the digests are alike; in constant time. It stands in a
/// file of its own, so that a test can build an engine without it and see its attacks succeed.
void require_digest(const Digest& expected, const Digest& sent, const char* complaint);

class Sha256 : public Hash {
 public:
  Sha256() : Hash("SHA256", sizeof(Digest)) {}
  [[nodiscard]] Digest operator()(std::string_view domain,
                                  std::initializer_list<ConstBytes> parts) const {
    Digest out;
    digest(domain, parts, out.data());
    return out;
  }
};

using WideDigest = std::array<std::uint8_t, 64>;

class Sha512 : public Hash {
 public:
  Sha512() : Hash("SHA512", sizeof(WideDigest)) {}
  void operator()(std::string_view domain, std::initializer_list<ConstBytes> parts,
                  WideDigest& out) const {
    digest(domain, parts, out.data());
  }
};

/// The bytes of a value that has no padding.
template <class T>
[[nodiscard]] ConstBytes bytes_of(const T& value) {
  static_assert(std::has_unique_object_representations_v<T>);
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

}  // namespace capc::gc
