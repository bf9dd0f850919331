#include <openssl/crypto.h>

#include "errors.hpp"
#include "hashing.hpp"

namespace capc::gc {

void require_digest(const Digest& expected, const Digest& sent, const char* complaint) {
  if (CRYPTO_memcmp(expected.data(), sent.data(), sent.size()) != 0) {
    throw ProtocolError(complaint);
  }
}

}  // namespace capc::gc
