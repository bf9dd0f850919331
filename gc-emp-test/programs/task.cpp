#include "task.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "bytes.hpp"
#include "circuits.hpp"
#include "failures.hpp"

namespace capc::gc::programs {
namespace {

constexpr std::array<std::uint8_t, 8> kMagic{'C', 'a', 'P', 'C', 'p', 'r', 'g', '2'};
constexpr std::size_t kBackEndBytes = 8;

/// What each side says first. 48 bytes: magic, party, program, mode, threshold, four zeros, ring
/// bits, classes, vote bits, vote shift (4 bytes each), the circuit's digest, the back end's name.
using Greeting = std::array<std::uint8_t, 48>;

struct Field {
  std::size_t at;
  std::size_t bytes;
};
constexpr Field kParty{8, 1};
constexpr Field kKind{9, 1};
constexpr Field kMode{10, 1};
constexpr Field kThreshold{11, 1};
constexpr Field kRingBits{16, 4};
constexpr Field kClasses{20, 4};
constexpr Field kVoteBits{24, 4};
constexpr Field kVoteShift{28, 4};
constexpr Field kDigest{32, 8};
constexpr Field kBackEnd{40, kBackEndBytes};

void put(Greeting& greeting, Field field, std::uint64_t value) {
  store_little(value, std::span(greeting).subspan(field.at, field.bytes));
}

std::uint64_t get(const Greeting& greeting, Field field) {
  return load_little(std::span(greeting).subspan(field.at, field.bytes));
}

Greeting make_greeting(Party party, Mode mode, const Task& task, const Circuit& circuit,
                       const std::string& back_end) {
  Greeting greeting{};
  std::copy(kMagic.begin(), kMagic.end(), greeting.begin());
  put(greeting, kParty, static_cast<std::uint64_t>(party));
  put(greeting, kKind, static_cast<std::uint64_t>(task.kind));
  put(greeting, kMode, static_cast<std::uint64_t>(mode));
  put(greeting, kThreshold, task.with_threshold ? 1 : 0);
  put(greeting, kRingBits, task.ring_bits);
  put(greeting, kClasses, task.classes);
  put(greeting, kVoteBits, task.vote_bits);
  put(greeting, kVoteShift, task.vote_shift);
  put(greeting, kDigest, circuit.digest());
  std::memcpy(greeting.data() + kBackEnd.at, back_end.data(),
              std::min(back_end.size(), kBackEndBytes));
  return greeting;
}

void require_equal(const Greeting& ours, const Greeting& theirs, Field field, const char* what,
                   const char* hint) {
  const std::uint64_t mine = get(ours, field);
  const std::uint64_t other = get(theirs, field);
  if (mine != other) {
    throw ProtocolError(std::string(what) + " differs: " + std::to_string(mine) + " here and " +
                        std::to_string(other) + " at the peer; " + hint);
  }
}

}  // namespace

Circuit build_circuit(const Task& task) {
  if (task.kind == ProgramKind::Argmax) {
    return argmax_circuit(task.ring_bits, task.classes, task.vote_bits, task.vote_shift);
  }
  return noisy_argmax_circuit(task.vote_bits, task.classes, task.with_threshold);
}

void agree(Link& link, Party party, Mode mode, const Task& task, const Circuit& circuit,
           const std::string& back_end) {
  const Greeting ours = make_greeting(party, mode, task, circuit, back_end);
  Greeting theirs{};
  link.write(ours);
  link.read(theirs);
  if (!std::equal(kMagic.begin(), kMagic.end(), theirs.begin())) {
    throw ProtocolError("the peer is no circuit program of this version");
  }
  if (get(theirs, kParty) == get(ours, kParty)) {
    throw ProtocolError("both sides run as party " + std::to_string(get(ours, kParty)) +
                        "; one has to be 1 and the other 2");
  }
  if (get(theirs, kKind) != get(ours, kKind) || get(theirs, kMode) != get(ours, kMode)) {
    throw ProtocolError("the peer runs the other circuit program, or another mode of it");
  }
  if (get(theirs, kBackEnd) != get(ours, kBackEnd)) {
    throw ProtocolError("the peer uses another back end; start both programs with the same one");
  }
  require_equal(ours, theirs, kClasses, "the number of classes",
                "both input files need as many lines, both sessions the same --classes");
  if (task.kind == ProgramKind::Argmax) {
    require_equal(ours, theirs, kRingBits, "--ring-bits", "give both programs the same");
  }
  require_equal(ours, theirs, kVoteBits, "--vote-bits", "give both programs the same");
  require_equal(ours, theirs, kVoteShift, "--vote-shift", "give both programs the same");
  require_equal(ours, theirs, kThreshold, "the use of a threshold (0 or 1)",
                "give both programs the same");
  if (get(theirs, kDigest) != get(ours, kDigest)) {
    throw ProtocolError("the peer built another circuit; install both from one release");
  }
}

}  // namespace capc::gc::programs
