#pragma once

#include <vector>

#include "kernels.hpp"

namespace capc::gc::test {

inline std::vector<Path> supported_paths() {
  std::vector<Path> found;
  for (const Path path : {Path::Portable, Path::AesNi, Path::Vaes}) {
    if (is_supported(path)) found.push_back(path);
  }
  return found;
}

}  // namespace capc::gc::test
