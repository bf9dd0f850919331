#pragma once

#include "measure.hpp"

namespace capc::gc::bench {

// Random correlated transfers, as a million of them would take. Set-up is apart.
void transfers_softspoken4(const Options& options);
void transfers_softspoken8(const Options& options);
void transfers_silent(const Options& options);

}  // namespace capc::gc::bench
