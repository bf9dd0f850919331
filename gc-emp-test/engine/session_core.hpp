#pragma once

// What both ends of a session hold and check alike; for the engine's own sources only.

#include <atomic>
#include <string>

#include "hashing.hpp"
#include "kernels.hpp"
#include "layout.hpp"
#include "secret.hpp"
#include "seed_trees.hpp"
#include "session.hpp"
#include "wire_format.hpp"

namespace capc::gc {

struct SessionCore {
  explicit SessionCore(Path path) : kernels(&kernels_of(path)) {}

  void require_ready() const {
    if (!ready) throw StateError("the session's set-up is not finished");
    if (failed) throw StateError("the session ended with an error; open another");
  }
  /// Runs `body`; a ProtocolError ends the session. The two ends are out of step then, and a peer
  /// that deviates must not try again under the same difference.
  template <class Body>
  void guard(Body body) {
    const Exclusive exclusive(busy);
    require_ready();
    ends_with_errors(body);
  }
  template <class Body>
  void ends_with_errors(Body body) {
    try {
      body();
    } catch (const ProtocolError&) {
      failed = true;
      throw;
    }
  }

  const Kernels* kernels;
  Sha256 sha256;
  Block start;        ///< of the hash, drawn by the garbler
  Digest transcript;  ///< of the set-up's messages so far
  SessionClock clock;
  SecretArray<Block> slots;
  SecretArray<Block> stream;
  bool ready = false;
  bool failed = false;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;
};

/// Δ: 127 random bits, and a 1 that sets the colours of the two labels of a wire apart.
inline void draw_difference(Secret<Block>& delta) {
  random_bytes(&delta.get(), sizeof(Block));
  delta.get().lo |= 1U;
}

[[nodiscard]] inline Header setup_header(MessageType type) {
  Header header;
  header.type = type;
  return header;
}

/// Of a session of look-ups, whose ends must have seed trees of one shape.
[[nodiscard]] inline Header lookup_setup_header(MessageType type, const TreeShape& shape) {
  Header header = setup_header(type);
  header.instances = shape.depth;
  return header;
}

/// Of two messages of the set-up, or of what was said before and one more.
[[nodiscard]] inline Digest setup_digest(const Sha256& hash, ConstBytes before,
                                         ConstBytes message) {
  return hash("capc set-up 2", {before, message});
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
