#pragma once

// The message of choices for transfers, and their check; for the engine's own sources only.

#include <cstddef>
#include <cstdint>

#include "block.hpp"
#include "ot_extension.hpp"
#include "session_core.hpp"

namespace capc::gc {

/// The corrections of `choices` and their check, after the header in `out`.
inline void write_choices(const SessionCore& core, TransferReceiver& receiver, const Header& header,
                          const SecretArray<std::uint64_t>& choices, std::size_t transfers,
                          Bytes message, Block* labels) {
  Writer out(message);
  out.value(header);
  receiver.correct(reinterpret_cast<const Block*>(choices.data()), transfers,
                   out.take(correction_bytes(transfers)), labels);
  const Digest challenge =
      check_challenge(core.sha256, core.transcript, message.first(message.size() - kCheckBytes));
  receiver.prove(challenge, out.take(kCheckBytes));
}

/// The other side of write_choices: ProtocolError, and no labels, where the check fails.
inline void read_choices(const SessionCore& core, TransferSender& sender, const Header& header,
                         std::size_t transfers, ConstBytes message, Block* labels) {
  Reader body(open_message(message, header, choice_body_bytes(transfers)));
  const ConstBytes corrections = body.take(correction_bytes(transfers));
  const Digest challenge = check_challenge(core.sha256, core.transcript,
                                           message.first(kHeaderBytes + corrections.size()));
  sender.extend(corrections, challenge, body.take(kCheckBytes), transfers, labels);
}

}  // namespace capc::gc
