#pragma once

#include "kernels_gates.hpp"
#include "kernels_pads.hpp"
#include "kernels_silent.hpp"

namespace capc::gc {
namespace {

/// All loops over a vector type V.
template <class V>
constexpr Kernels make_kernels() {
  return {garble_loop<V>,        evaluate_loop<V>,     hash_loop<V>,      expand_key_once<V>,
          stream_loop<V, false>, stream_loop<V, true>, leaf_sums_loop<V>, transpose_rows,
          row_hashes_loop<V>,    chosen_sums_loop<V>,  split_loop<V>,     plant_loop<V>,
          code_rows_loop<V>,     polynomials_loop<V>,  low_bits_loop<V>,  node_pads_loop<V>,
          number_pads_loop<V>,   encrypt_loop<V>};
}

}  // namespace
}  // namespace capc::gc
