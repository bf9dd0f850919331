// What a peer says first: agreement, or a ProtocolError.

#include <cstring>
#include <memory>

#include "failures.hpp"
#include "input.hpp"
#include "link.hpp"
#include "task.hpp"

using namespace capc::gc;
using namespace capc::gc::programs;

namespace {

/// A peer that says the fuzzer's bytes, a few at a time, and then is gone.
class RecordedStream final : public Stream {
 public:
  explicit RecordedStream(fuzz::Input input) : input_(input) {}

  std::size_t read_some(std::span<std::uint8_t> out, const Deadline&) override {
    const auto bytes = input_.take(std::min<std::size_t>(out.size(), 13));
    if (bytes.empty()) throw ProtocolError("the peer closed the connection");
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return bytes.size();
  }
  std::size_t write_some(std::span<const std::uint8_t> bytes, const Deadline&) override {
    return bytes.size();
  }

 private:
  fuzz::Input input_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Task task{ProgramKind::Argmax, 16, 3, 32, false};
  static const Circuit circuit = build_circuit(task);
  Link link(std::make_unique<RecordedStream>(fuzz::Input(data, size)), Seconds{1.0});
  try {
    agree(link, Party::Garbler, Mode::Session, task, circuit, "builtin");
    fuzz::require(size >= 48, "agreement needs a whole greeting");
    fuzz::require(data[8] == 2 && data[9] == 1 && data[10] == 2, "the other party, same program");
    fuzz::require(link.traffic().bytes_received == 48, "and no more than that");
  } catch (const ProtocolError&) {
  }
  return 0;
}
