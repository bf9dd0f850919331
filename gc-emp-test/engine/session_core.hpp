#pragma once

// What both ends of a session hold and check alike; for the engine's own sources only.

#include <atomic>
#include <string>

#include "kernels.hpp"
#include "layout.hpp"
#include "secret.hpp"
#include "session.hpp"
#include "wire_format.hpp"

namespace capc::gc {

struct SessionCore {
  explicit SessionCore(Path path) : kernels(&kernels_of(path)) {}

  void require_ready() const {
    if (!ready) throw StateError("the session's set-up is not finished");
    if (failed) throw StateError("the session ended with an error; open another");
  }
  /// Runs `body`; a ProtocolError leaves the two ends out of step, so nothing may follow it.
  template <class Body>
  void guard(Body body) {
    const Exclusive exclusive(busy);
    require_ready();
    try {
      body();
    } catch (const ProtocolError&) {
      failed = true;
      throw;
    }
  }

  const Kernels* kernels;
  Block start;  ///< of the hash, drawn by the garbler
  SessionClock clock;
  SecretArray<Block> slots;
  SecretArray<Block> stream;
  bool ready = false;
  bool failed = false;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;
};

[[nodiscard]] inline Header setup_header(MessageType type) {
  Header header;
  header.type = type;
  return header;
}

[[nodiscard]] inline Header batch_header(MessageType type, std::uint64_t batch,
                                         const BatchLayout& layout, const Circuit& circuit,
                                         std::size_t chunk) {
  Header header;
  header.type = type;
  header.batch = batch;
  header.circuit = circuit.digest();
  header.instances = layout.instances();
  header.chunk = chunk;
  return header;
}

inline void require_two_phases(const CompiledCircuit& compiled) {
  if (!compiled.circuit.has_offline_phase()) {
    throw UsageError("the circuit's inputs are not shares: it runs in one phase only");
  }
}

inline void require_size(std::size_t got, std::size_t wanted, const char* what) {
  if (got != wanted) {
    throw UsageError(std::string(what) + " has " + std::to_string(got) + " entries; " +
                     std::to_string(wanted) + " are needed");
  }
}

inline void grow(SecretArray<Block>& array, std::size_t size) {
  if (array.size() < size) array = SecretArray<Block>(size);
}

}  // namespace capc::gc
