#include "kernels.hpp"

#include "errors.hpp"
#include "kernels_paths.hpp"

#if defined(CAPC_GC_X86)
#include <cpuid.h>
#endif

namespace capc::gc {
#if defined(CAPC_GC_X86)
namespace {

/// Clang before 15 knows neither "aes" nor "vaes" by name. PCLMULQDQ is bit 1.
bool has_aes_and_products() {
  constexpr unsigned kWanted = 1U << 25U | 1U << 1U;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & kWanted) == kWanted;
}

/// The same four to a register: VAES and VPCLMULQDQ.
bool has_wide_aes_and_products() {
  constexpr unsigned kWanted = 1U << 9U | 1U << 10U;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & kWanted) == kWanted;
}

}  // namespace
#endif

bool is_supported(Path path) {
#if defined(CAPC_GC_X86)
  if (path == Path::AesNi) {
    return has_aes_and_products() && __builtin_cpu_supports("ssse3") &&
           __builtin_cpu_supports("sse4.1");
  }
  if (path == Path::Vaes) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512ifma") && has_wide_aes_and_products();
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
    case Path::Portable:
      return "portable";
    case Path::AesNi:
      return "aes-ni";
    case Path::Vaes:
      return "vaes";
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
