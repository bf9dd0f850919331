#include "stock.hpp"

#include "checked_choices.hpp"
#include "session_core.hpp"

namespace capc::gc {
namespace {

[[nodiscard]] Header stock_header(MessageType type, Direction direction, const SilentStock& stock,
                                  std::uint64_t round) {
  Header header = setup_header(type);
  header.batch = round;
  header.circuit = static_cast<std::uint64_t>(direction);
  header.instances = stock.parameters().outputs();
  return header;
}

[[nodiscard]] Digest stock_session(const SessionCore& core, Direction direction) {
  return core.sha256("capc stock 1", {core.transcript, bytes_of(direction)});
}

/// What stands after the header of a message to be written.
[[nodiscard]] Bytes body_of(Bytes message, const Header& header, std::size_t body_bytes) {
  require_size(message.size(), kHeaderBytes + body_bytes, "the message's buffer");
  Writer out(message);
  out.value(header);
  return out.take(body_bytes);
}

}  // namespace

StockSender::StockSender(SessionCore& core, TransferSender& transfers, Block delta,
                         Direction direction, const SilentParameters& parameters)
    : core_(&core),
      extension_(&transfers),
      direction_(direction),
      silent_(*core.kernels, stock_session(core, direction), delta, parameters) {}

void StockSender::take_seeds(ConstBytes seeds) {
  core_->guard([&] {
    SecretArray<Block> labels(padded_transfers(silent_.parameters().inputs()));
    read_random_choices(*core_, *extension_,
                        stock_header(MessageType::StockSeeds, direction_, silent_, 0),
                        silent_.parameters().inputs(), seeds, labels.data());
    silent_.seed(labels.data());
  });
}

void StockSender::grow(Bytes trees) {
  core_->guard([&] {
    const Header header =
        stock_header(MessageType::StockTrees, direction_, silent_, silent_.round());
    silent_.grow(body_of(trees, header, silent_.parameters().trees_bytes()));
  });
}

void StockSender::prove(ConstBytes point, Bytes proof) {
  core_->guard([&] {
    const ConstBytes places = open_message(
        point, stock_header(MessageType::StockPoint, direction_, silent_, silent_.proven()),
        kSilentPointBytes);
    const Header header =
        stock_header(MessageType::StockProof, direction_, silent_, silent_.proven());
    silent_.prove(places, body_of(proof, header, kSilentProofBytes));
  });
}

StockReceiver::StockReceiver(SessionCore& core, TransferReceiver& transfers, Direction direction,
                             const SilentParameters& parameters)
    : core_(&core),
      extension_(&transfers),
      direction_(direction),
      silent_(*core.kernels, stock_session(core, direction), parameters) {}

void StockReceiver::send_seeds(Bytes seeds) {
  core_->guard([&] {
    require_size(seeds.size(), seed_bytes(), "the message's buffer");
    SecretArray<Block> labels(padded_transfers(silent_.parameters().inputs()));
    write_random_choices(*core_, *extension_,
                         stock_header(MessageType::StockSeeds, direction_, silent_, 0),
                         silent_.parameters().inputs(), seeds, labels.data());
    silent_.seed(labels.data());
  });
}

void StockReceiver::answer(ConstBytes trees, Bytes point) {
  core_->guard([&] {
    const ConstBytes sums = open_message(
        trees, stock_header(MessageType::StockTrees, direction_, silent_, silent_.round()),
        silent_.parameters().trees_bytes());
    const Header header =
        stock_header(MessageType::StockPoint, direction_, silent_, silent_.round());
    silent_.answer(sums, body_of(point, header, kSilentPointBytes));
  });
}

void StockReceiver::finish(ConstBytes proof) {
  core_->guard([&] {
    silent_.finish(open_message(
        proof, stock_header(MessageType::StockProof, direction_, silent_, silent_.proven()),
        kSilentProofBytes));
  });
}

}  // namespace capc::gc
