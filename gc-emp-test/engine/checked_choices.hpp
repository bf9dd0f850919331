#pragma once

// The message of choices for transfers, and their check; for the engine's own sources only.

#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "ot_extension.hpp"
#include "session_core.hpp"

namespace capc::gc {

/// Random choices of so many transfers, packed as TransferReceiver takes them.
[[nodiscard]] inline SecretArray<std::uint64_t> random_choices(std::size_t transfers) {
  SecretArray<std::uint64_t> packed(padded_transfers(transfers) / 64);
  random_bytes(packed.data(), (transfers + 63) / 64 * sizeof(std::uint64_t));
  if (transfers % 64 != 0) {
    packed[transfers / 64] = low_bits(packed[transfers / 64], transfers % 64);
  }
  return packed;
}

/// The corrections of `choices` and their check, after the header in `out`.
inline void write_choices(const SessionCore& core, TransferReceiver& receiver, const Header& header,
                          const SecretArray<std::uint64_t>& choices, std::size_t transfers,
                          Bytes message, Block* labels) {
  Writer out(message);
  out.value(header);
  receiver.correct(reinterpret_cast<const Block*>(choices.data()), transfers,
                   out.take(correction_bytes(transfers, receiver.shape())), labels);
  const Digest challenge =
      check_challenge(core.sha256, core.transcript, message.first(message.size() - kCheckBytes));
  receiver.prove(challenge, out.take(kCheckBytes));
}

/// The other side of write_choices: ProtocolError, and no labels, where the check fails.
inline void read_choices(const SessionCore& core, TransferSender& sender, const Header& header,
                         std::size_t transfers, ConstBytes message, Block* labels) {
  Reader body(open_message(message, header, choice_body_bytes(transfers, sender.shape())));
  const ConstBytes corrections = body.take(correction_bytes(transfers, sender.shape()));
  const Digest challenge = check_challenge(core.sha256, core.transcript,
                                           message.first(kHeaderBytes + corrections.size()));
  sender.extend(corrections, challenge, body.take(kCheckBytes), transfers, labels);
}

/// Random choices, each in the lowest bit of its label, which the sender's labels have at 0: the
/// lowest bit of Δ is 1.
inline void write_random_choices(const SessionCore& core, TransferReceiver& receiver,
                                 const Header& header, std::size_t transfers, Bytes message,
                                 Block* labels) {
  const SecretArray<std::uint64_t> choices = random_choices(transfers);
  write_choices(core, receiver, header, choices, transfers, message, labels);
  for (std::size_t i = 0; i < transfers; ++i) {
    labels[i].lo = (labels[i].lo & ~std::uint64_t{1}) | (choices[i / 64] >> (i % 64) & 1U);
  }
}

/// The other side of write_random_choices.
inline void read_random_choices(const SessionCore& core, TransferSender& sender,
                                const Header& header, std::size_t transfers, ConstBytes message,
                                Block* labels) {
  read_choices(core, sender, header, transfers, message, labels);
  for (std::size_t i = 0; i < transfers; ++i) labels[i].lo &= ~std::uint64_t{1};
}

}  // namespace capc::gc
