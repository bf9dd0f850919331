#pragma once

#include "kernels.hpp"

namespace capc::gc {

[[nodiscard]] const Kernels& portable_kernels();
[[nodiscard]] const Kernels& aesni_kernels();
[[nodiscard]] const Kernels& vaes_kernels();

}  // namespace capc::gc
