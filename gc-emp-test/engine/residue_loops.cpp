#include "residue_loops.hpp"

namespace capc::gc {

const ResidueLoops& residue_loops_of(Path path) {
  static_cast<void>(kernels_of(path));  // refuses one that this processor does not have
#if defined(CAPC_GC_X86)
  if (path == Path::Vaes) return avx512_residue_loops();
#endif
  return portable_residue_loops();
}

}  // namespace capc::gc
