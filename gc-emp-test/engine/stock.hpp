#pragma once

#include <cstddef>
#include <cstdint>

#include "ot_extension.hpp"
#include "silent_extension.hpp"
#include "wire_format.hpp"

namespace capc::gc {

struct SessionCore;

/// Which end of a session of look-ups is the sender of a stock's transfers.
enum class Direction : std::uint8_t { FromHolder, FromChooser };

// Messages, headers included: the seeds once, from the receiver; then for each round the trees,
// the point and the proof.
[[nodiscard]] constexpr std::size_t stock_seed_bytes(const SilentParameters& parameters,
                                                     const TreeShape& shape = kShallowTrees) {
  return kHeaderBytes + choice_body_bytes(parameters.inputs(), shape);
}
[[nodiscard]] constexpr std::size_t stock_trees_bytes(const SilentParameters& parameters) {
  return kHeaderBytes + parameters.trees_bytes();
}
constexpr std::size_t kStockPointBytes = kHeaderBytes + kSilentPointBytes;
constexpr std::size_t kStockProofBytes = kHeaderBytes + kSilentProofBytes;

/// The sender's end of a session's stock of silent transfers in one direction. Each call takes the
/// bytes of a message or fills the next one; a ProtocolError ends the session.
class StockSender {
 public:
  StockSender(SessionCore& core, TransferSender& transfers, Block delta, Direction direction,
              const SilentParameters& parameters);

  [[nodiscard]] SilentStock& transfers() { return silent_; }
  [[nodiscard]] std::size_t seed_bytes() const {
    return stock_seed_bytes(silent_.parameters(), extension_->shape());
  }

  void take_seeds(ConstBytes seeds);
  void grow(Bytes trees);
  void prove(ConstBytes point, Bytes proof);

 private:
  SessionCore* core_;
  TransferSender* extension_;
  Direction direction_;
  SilentSender silent_;
};

/// The receiver's end. The choice of a transfer is the lowest bit of its label.
class StockReceiver {
 public:
  StockReceiver(SessionCore& core, TransferReceiver& transfers, Direction direction,
                const SilentParameters& parameters);

  [[nodiscard]] SilentStock& transfers() { return silent_; }
  [[nodiscard]] std::size_t seed_bytes() const {
    return stock_seed_bytes(silent_.parameters(), extension_->shape());
  }

  void send_seeds(Bytes seeds);
  void answer(ConstBytes trees, Bytes point);
  void finish(ConstBytes proof);

 private:
  SessionCore* core_;
  TransferReceiver* extension_;
  Direction direction_;
  SilentReceiver silent_;
};

}  // namespace capc::gc
