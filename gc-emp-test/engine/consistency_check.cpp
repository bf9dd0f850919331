#include "consistency_check.hpp"

#include <cstring>

namespace capc::gc {

Digest check_challenge(const Sha256& hash, const Digest& session, ConstBytes message) {
  return hash("capc check challenge 2", {session, message});
}

RowHash::RowHash(const Kernels& kernels, const Digest& challenge, std::size_t blocks)
    : kernels_(&kernels), coefficients_(blocks) {
  Block seed;
  std::memcpy(&seed, challenge.data(), sizeof seed);
  RoundKeys key;
  kernels.expand_key(seed, key);
  kernels.stream(key, 0, coefficients_.data(), blocks - kMaskBlocks);
  coefficients_[blocks - kMaskBlocks] = {1, 0};  // one: a uniform mask hides what it is added to
}

void RowHash::operator()(const Block* rows, std::size_t stride, std::size_t count,
                         Block* out) const {
  kernels_->row_hashes(rows, stride, count, coefficients_.data(), coefficients_.size(), out);
}

Digest digest_of_rows(const Sha256& hash, const Digest& challenge, ConstBytes hashed_rows) {
  return hash("capc check rows 2", {challenge, hashed_rows});
}

}  // namespace capc::gc
