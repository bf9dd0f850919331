// A command line: words between zero bytes. Arguments within their ranges, or a UsageError.

#include <string>
#include <vector>

#include "arguments.hpp"
#include "failures.hpp"
#include "input.hpp"

using namespace capc::gc;
using namespace capc::gc::programs;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const ProgramKind kind =
      (input.byte() & 1U) != 0 ? ProgramKind::Argmax : ProgramKind::SumHistogram;
  std::vector<std::string> words(1);
  while (!input.is_empty()) {
    const char character = static_cast<char>(input.byte());
    if (character == 0) {
      words.emplace_back();
    } else {
      words.back() += character;
    }
  }
  try {
    const Arguments arguments = parse_arguments(kind, words);
    if (arguments.request != Request::Run) return 0;
    fuzz::require(arguments.ring_bits >= 1 && arguments.ring_bits <= 64, "ring bits");
    fuzz::require(arguments.vote_bits >= 2 && arguments.vote_bits <= 64, "vote bits");
    fuzz::require(arguments.limit.count() > 0, "time limit");
    fuzz::require(arguments.mode == Mode::Files || arguments.classes, "classes of a session");
    fuzz::require(arguments.party == Party::Garbler || arguments.port > 0, "port");
  } catch (const UsageError&) {
  }
  return 0;
}
