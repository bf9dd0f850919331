#pragma once

#include "arguments.hpp"
#include "task.hpp"

namespace capc::gc::programs {

/// One run: input file in, output file out, as the original programs did.
void run_with_files(ProgramKind kind, const Arguments& arguments);

/// A session: commands on standard input, answers on standard output; see frames.hpp.
void run_session(ProgramKind kind, const Arguments& arguments);

/// The whole program: returns its exit status.
[[nodiscard]] int run_program(ProgramKind kind, int argc, const char* const* argv);

}  // namespace capc::gc::programs
