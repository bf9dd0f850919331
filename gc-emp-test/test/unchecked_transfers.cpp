// A known-bad build: this stands in the place of engine/require_digest.cpp and checks nothing.

#include "hashing.hpp"

namespace capc::gc {

void require_digest(const Digest&, const Digest&, const char*) {}

}  // namespace capc::gc
