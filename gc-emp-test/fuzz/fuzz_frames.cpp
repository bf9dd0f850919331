// Standard input of a session: any bytes are a list of frames, or a ProtocolError.

#include <cstring>

#include "failures.hpp"
#include "frames.hpp"
#include "input.hpp"

using namespace capc::gc;
using namespace capc::gc::programs;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  try {
    while (!input.is_empty()) {
      const FrameHeader header = decode_command_header(input.take(kFrameHeaderBytes));
      fuzz::require(header.length <= kMaxFramePayload, "a frame is as short as it has to be");
      const auto payload = input.take(header.length);
      if (header.type != FrameType::Prepare && header.type != FrameType::Evaluate) continue;
      const WordTable table = decode_words(payload);
      fuzz::require(table.all().size() == table.instances * table.words, "the table is whole");
      fuzz::require(payload.size() == 8 + 8 * table.all().size(), "nothing is left over");
      fuzz::require(table.all().empty() || std::memcmp(table.all().data(), payload.data() + 8,
                                                       payload.size() - 8) == 0,
                    "the words are those that came");
    }
  } catch (const ProtocolError&) {
  }
  return 0;
}
