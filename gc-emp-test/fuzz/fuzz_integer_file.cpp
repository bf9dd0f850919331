// An input file: numbers that read the same when written again, or a SystemError.

#include <string>

#include "failures.hpp"
#include "input.hpp"
#include "integer_file.hpp"

using namespace capc::gc;
using namespace capc::gc::programs;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const SecretArray<Word> values =
        parse_integers({reinterpret_cast<const char*>(data), size}, "file");
    fuzz::require(values.size() > 0, "there are numbers");
    std::string again;
    for (std::size_t i = 0; i < values.size(); ++i) again += std::to_string(values[i]) + "\n";
    const SecretArray<Word> reread = parse_integers(again, "again");
    fuzz::require(reread.size() == values.size(), "as many numbers");
    for (std::size_t i = 0; i < values.size(); ++i) {
      fuzz::require(reread[i] == values[i], "the same numbers");
    }
  } catch (const SystemError&) {
  }
  return 0;
}
