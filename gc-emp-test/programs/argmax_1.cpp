#include "modes.hpp"

int main(int argc, char** argv) {
  using namespace capc::gc::programs;
  return run_program(ProgramKind::Argmax, argc, argv);
}
