#include <cstring>

#include "back_end.hpp"
#include "endpoint.hpp"
#include "failures.hpp"
#include "frames.hpp"
#include "modes.hpp"

namespace capc::gc::programs {
namespace {

constexpr int kInput = 0;
constexpr int kOutput = 1;

void read_key(LinkKey& key) {
  const Frame frame = read_command(kInput);
  if (frame.type != FrameType::Key || frame.payload.size() != kKeyBytes) {
    throw ProtocolError("a session begins with a KEY frame of " + std::to_string(kKeyBytes) +
                        " bytes");
  }
  std::memcpy(key.get(), frame.payload.data(), kKeyBytes);
}

std::unique_ptr<Stream> open_stream(const Arguments& arguments, const LinkKey& key) {
  const Deadline deadline(arguments.limit);
  if (arguments.party == Party::Garbler) {
    const Listener listener(arguments.port);
    write_listening(kOutput, listener.port());
    return listener.accept_with_key(key, deadline, kInput);
  }
  Descriptor socket = connect_to(arguments.host, arguments.port, Absent::Fail, deadline, kInput);
  return tls_stream(std::move(socket), kInput, Side::Client, key, deadline);
}

Link open_link(const Arguments& arguments) {
  LinkKey key;
  read_key(key);
  return Link(open_stream(arguments, key), arguments.limit);
}

/// False after CLOSE.
bool serve_command(BackEnd& back_end, const Link& link) {
  const Frame frame = read_command(kInput);
  switch (frame.type) {
    case FrameType::Prepare: {
      const WordTable fixed = decode_words(frame.bytes());
      back_end.prepare(fixed.instances, fixed.all());
      write_state(kOutput, FrameType::Prepared, link.traffic());
      return true;
    }
    case FrameType::Evaluate: {
      const WordTable result = back_end.evaluate(decode_words(frame.bytes()));
      write_result(kOutput, link.traffic(), result);
      return true;
    }
    case FrameType::Close:
      if (frame.payload.size() != 0) throw ProtocolError("a CLOSE frame carries nothing");
      write_state(kOutput, FrameType::Closed, link.traffic());
      return false;
    default:
      throw ProtocolError("a KEY frame came in the middle of a session");
  }
}

}  // namespace

void run_session(ProgramKind kind, const Arguments& arguments) {
  if (!arguments.classes) throw UsageError("--session needs --classes");
  const Task task{kind,
                  arguments.ring_bits,
                  *arguments.classes,
                  arguments.vote_bits,
                  arguments.with_threshold,
                  arguments.vote_shift};
  Circuit circuit = build_circuit(task);
  Link link = open_link(arguments);
  agree(link, arguments.party, Mode::Session, task, circuit, back_end_name());
  const auto back_end = make_back_end(arguments.party, std::move(circuit), link);
  back_end->set_up();
  write_state(kOutput, FrameType::Ready, link.traffic());
  while (serve_command(*back_end, link)) {
  }
}

}  // namespace capc::gc::programs
