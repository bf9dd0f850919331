#pragma once

#include <span>
#include <string>
#include <string_view>

#include "circuit.hpp"

namespace capc::gc {

/// The circuit in Bristol Fashion (https://nigelsmart.github.io/MPC-Circuits/): XOR, AND, INV, and
/// EQW where an output is an input or another output. Input and output values are the words in
/// order. Shared outputs become plain ones first, their masks the last inputs.
[[nodiscard]] std::string to_bristol(const Circuit& circuit);

/// Reads Bristol Fashion: XOR, AND, INV, NOT, EQ, EQW, MAND. Values above 64 bits become several
/// words, the lowest first. `owners` says who feeds each input value; every output goes to `kind`.
/// UsageError, with the line, where the text is not such a circuit.
[[nodiscard]] Circuit from_bristol(std::string_view text, std::span<const InputKind> owners,
                                   OutputKind kind);

}  // namespace capc::gc
