#include "kernels.hpp"

#include "errors.hpp"
#include "kernels_paths.hpp"

namespace capc::gc {

bool is_supported(Path path) {
#if defined(CAPC_GC_X86)
  if (path == Path::AesNi) {
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("ssse3") &&
           __builtin_cpu_supports("sse4.1");
  }
  if (path == Path::Vaes) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("vaes");
  }
#endif
  return path == Path::Portable;
}

Path best_path() {
  if (is_supported(Path::Vaes)) return Path::Vaes;
  if (is_supported(Path::AesNi)) return Path::AesNi;
  return Path::Portable;
}

const char* path_name(Path path) {
  switch (path) {
    case Path::Portable: return "portable";
    case Path::AesNi: return "aes-ni";
    case Path::Vaes: return "vaes";
  }
  return "unknown";
}

const Kernels& kernels_of(Path path) {
  if (!is_supported(path)) throw UsageError("this processor does not have the chosen AES path");
#if defined(CAPC_GC_X86)
  if (path == Path::AesNi) return aesni_kernels();
  if (path == Path::Vaes) return vaes_kernels();
#endif
  return portable_kernels();
}

}  // namespace capc::gc
