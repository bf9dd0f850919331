#pragma once

// The pads of table look-ups from correlated transfers; for the engine's own sources only.

#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

#include "block.hpp"
#include "checked_choices.hpp"
#include "kernels.hpp"
#include "ot_extension.hpp"
#include "relu_plan.hpp"
#include "session_core.hpp"

namespace capc::gc {

// The k transfers of a look-up have labels t_i = q_i ^ c_i Δ. In GF(2^128), with the choice's bits
// as a polynomial c(x), T = sum x^i t_i = Q ^ c(x) Δ. So H(Q ^ j(x) Δ) is a pad for each entry j,
// of which the chooser has the one at c: the others lie a non-zero multiple of Δ away.

/// j(x) Δ for every j of a table.
using Multiples = std::array<Block, kMaxEntries>;

[[nodiscard]] constexpr Multiples multiples_of(Block delta) {
  Multiples result{};
  for (std::size_t j = 1; j < kMaxEntries; ++j) {
    result[j] = times_x(result[j / 2]) ^ select(j & 1U, delta);
  }
  return result;
}

/// Every entry has a tweak of its own: where those of one look-up of one instance begin, and how
/// many a batch takes. The transfers of the other direction take two each, after all these.
[[nodiscard]] inline std::uint64_t lookup_tweak(const ReluPlan& plan, std::size_t instance,
                                                const Lookup& lookup) {
  return kMaxEntries * (instance * plan.lookups() + lookup.index);
}
[[nodiscard]] inline std::uint64_t back_tweak(const ReluPlan& plan, std::size_t instances,
                                              std::size_t instance) {
  return kMaxEntries * instances * plan.lookups() + 2 * instance;
}
[[nodiscard]] inline std::uint64_t tweaks_of(const ReluPlan& plan, std::size_t instances) {
  return back_tweak(plan, instances, instances);
}

[[nodiscard]] inline Header lookup_header(MessageType type, std::uint64_t batch,
                                          const ReluPlan& plan, std::size_t instances,
                                          std::size_t chunk) {
  Header header = setup_header(type);
  header.batch = batch;
  header.circuit = plan.digest();
  header.instances = instances;
  header.chunk = chunk;
  return header;
}

inline void require_lookups(std::size_t instances) {
  if (instances == 0 || instances > kMaxLookupInstances) {
    throw UsageError("a batch has 1 to " + std::to_string(kMaxLookupInstances) +
                     " instances, not " + std::to_string(instances));
  }
}

/// Random choices of so many transfers, packed as TransferReceiver takes them.
[[nodiscard]] inline SecretArray<std::uint64_t> random_choices(std::size_t transfers) {
  SecretArray<std::uint64_t> packed(padded_transfers(transfers) / 64);
  random_bytes(packed.data(), (transfers + 63) / 64 * sizeof(std::uint64_t));
  if (transfers % 64 != 0) {
    packed[transfers / 64] = low_bits(packed[transfers / 64], transfers % 64);
  }
  return packed;
}

/// The body of a message of bits, as BitUnpacker reads it.
[[nodiscard]] inline std::vector<std::uint64_t> packed_body(ConstBytes message,
                                                            const Header& header,
                                                            std::size_t message_bytes) {
  const ConstBytes body = open_message(message, header, message_bytes - kHeaderBytes);
  std::vector<std::uint64_t> packed(body.size() / sizeof(std::uint64_t) + 2);
  std::memcpy(packed.data(), body.data(), body.size());
  return packed;
}

/// A message of bits, as BitPacker wrote them.
inline void write_packed(const Header& header, const std::vector<std::uint64_t>& packed,
                         Bytes message) {
  Writer out(message);
  out.value(header);
  const Bytes body = out.take(message.size() - kHeaderBytes);
  std::memcpy(body.data(), packed.data(), body.size());
}

}  // namespace capc::gc
