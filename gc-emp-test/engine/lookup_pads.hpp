#pragma once

// Messages of look-ups and where their tweaks stand; for the engine's own sources only.

#include <algorithm>
#include <cstring>
#include <vector>

#include "holder.hpp"
#include "lookup_plan.hpp"
#include "party_bits.hpp"
#include "session_core.hpp"

namespace capc::gc {

/// Every table of a batch has a tweak of its own: first those of the holder's tables, each for all
/// instances, then those of the tables back.
[[nodiscard]] inline std::uint64_t back_tweak(const LookupPlan& plan, std::size_t instances) {
  return plan.tables().size() * instances;
}
[[nodiscard]] inline std::uint64_t tweaks_of(const LookupPlan& plan, std::size_t instances) {
  return back_tweak(plan, instances) + plan.tables_back().size() * instances;
}

[[nodiscard]] inline Header lookup_header(MessageType type, std::uint64_t batch,
                                          const LookupPlan& plan, std::size_t instances,
                                          std::size_t chunk) {
  Header header = setup_header(type);
  header.batch = batch;
  header.circuit = plan.digest();
  header.instances = instances;
  header.chunk = chunk;
  return header;
}

[[nodiscard]] inline std::size_t checked_instances(std::size_t instances) {
  if (instances == 0 || instances > kMaxLookupInstances) {
    throw UsageError("a batch has 1 to " + std::to_string(kMaxLookupInstances) +
                     " instances, not " + std::to_string(instances));
  }
  return instances;
}

inline void require_source(Source source, Source wanted) {
  if (source != wanted) throw StateError("the batch has its transfers from elsewhere");
}

/// Instances of `left` that so many transfers serve, `each` of them taking some or none.
[[nodiscard]] inline std::size_t served(std::size_t left, std::size_t available, std::size_t each) {
  return each == 0 ? left : std::min(left, available / each);
}

/// `work` on numbers of instances that add up to `count`: of those whose transfers are drawn
/// together, so few that pads are made of the labels while they are in the cache. Both ends draw
/// alike.
template <class Work>
void for_each_draw(std::size_t count, Work work) {
  constexpr std::size_t kDrawInstances = 128;
  for (std::size_t done = 0; done < count; done += kDrawInstances) {
    work(std::min(kDrawInstances, count - done));
  }
}

/// Nothing that depends on the outputs of silent rounds may leave their receiver before.
inline void require_proven(const SilentStock& stock, std::uint64_t rounds) {
  if (stock.proven() < rounds) throw StateError("the batch's silent transfers are not proven yet");
}

/// A party's part of the rest before any look-up.
[[nodiscard]] inline Word starting_rest(const LookupPlan& plan, Word share) {
  const LocalPart& local = plan.local();
  const std::int64_t whole = signed_share(plan.ring_bits(), share);
  // slope * share may pass 64 bits, so the share is cut: slope * high is whole, the rest floored.
  const Word high = static_cast<Word>(whole >> local.slope_bits);
  const Word low = low_bits(share, local.slope_bits);
  const Word sloped = local.slope * high + ((local.slope * low) >> local.slope_bits);
  return static_cast<Word>(static_cast<std::int64_t>(sloped) >> local.shift);
}

/// A party's part of an input's value before any look-up.
[[nodiscard]] inline Word starting_value(const LookupPlan& plan, Word share) {
  const LocalPart& local = plan.local();
  if (local.is_squared) return share * share;
  const Word value = local.has_value ? share >> local.shift : 0;
  return local.slope != 0 ? value - starting_rest(plan, share) : value;
}

/// What a party has of a selection, for each of the signs, of its own `values`: one a step.
inline void selected_of(const Lookup& select, const Word* values, std::size_t stride,
                        Word (&found)[kMaxNumberEntries]) {
  for (std::size_t signs = 0; signs < select.table.entries(); ++signs) {
    const std::size_t value = select.selected[signs].value;
    found[signs] = value == kNoValue ? 0 : values[value * stride];
  }
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
