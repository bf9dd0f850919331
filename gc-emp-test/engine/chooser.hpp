#pragma once

#include <memory>
#include <span>
#include <vector>

#include "holder.hpp"

namespace capc::gc {

class ChooserBatch;

/// The end of a session of look-ups that reads one entry of each table; see HolderSession.
class ChooserSession {
 public:
  explicit ChooserSession(Path path = best_path());
  ~ChooserSession();
  ChooserSession(ChooserSession&&) noexcept;
  ChooserSession& operator=(ChooserSession&&) noexcept;

  /// The first message of a session: kLookupOfferBytes.
  void setup_offer(Bytes out);
  /// The answer (kLookupAnswerBytes) to the holder's choice.
  void setup_answer(ConstBytes choice, Bytes out);
  void setup_finish(ConstBytes trees);

  [[nodiscard]] std::unique_ptr<ChooserBatch> prepare(const ReluPlan& plan, std::size_t instances);

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

/// The ReLUs of a batch, used once: take_back, then `correlate` for each chunk, then `begin`, and
/// `choose` and take_table for each step of the plan.
class ChooserBatch {
 public:
  ChooserBatch(std::shared_ptr<ChooserSession::Core> core, const ReluPlan& plan,
               std::size_t instances);
  ~ChooserBatch();

  [[nodiscard]] const ReluPlan& plan() const { return plan_; }
  [[nodiscard]] std::size_t instances() const { return instances_; }
  [[nodiscard]] std::size_t chunks_done() const { return chunk_; }
  [[nodiscard]] std::size_t steps_done() const { return step_; }

  void take_back(ConstBytes back);
  /// The next chunk's Correlate message (plan().correlate_bytes).
  void correlate(Bytes out);
  /// Online: the chooser's shares, one an instance.
  void begin(std::span<const Word> shares);
  /// The next step's Choose message (plan().choose_bytes), then the Table message that answers it.
  void choose(Bytes out);
  void take_table(ConstBytes table);
  /// This side's shares of the tree's nodes, for tests: uniform, whatever both parties' inputs are.
  [[nodiscard]] std::span<const NodeBits> node_shares() const {
    return {nodes_.data(), nodes_.size()};
  }
  /// One share an instance: relu(x) >> shift, less the holder's mask, modulo 2^ring_bits.
  [[nodiscard]] std::span<const Word> outputs() const;

 private:
  [[nodiscard]] Word choice(const Lookup& lookup, std::size_t instance) const;
  [[nodiscard]] Word sign_share(std::size_t instance) const;
  /// The correction that lets the holder have sign times b's part, less outputs_[instance].
  [[nodiscard]] Word back_correction(std::size_t instance);
  void keep(const Lookup& lookup, std::size_t instance, Word entry);
  [[nodiscard]] Header header(MessageType type, std::size_t chunk) const;

  std::shared_ptr<ChooserSession::Core> core_;
  ReluPlan plan_;
  std::size_t instances_;
  std::uint64_t number_;
  std::uint64_t first_tweak_;
  bool back_taken_ = false;
  bool begun_ = false;
  bool chosen_ = false;
  std::size_t chunk_ = 0;
  std::size_t step_ = 0;
  SecretArray<Word> shares_;
  SecretArray<Word> back_pads_;  // two a transfer
  SecretArray<NodeBits> nodes_;
  SecretArray<Word> pads_;             // of each look-up, at its random choice
  SecretArray<std::uint8_t> random_;   // that choice
  SecretArray<std::uint8_t> choices_;  // of this step
  SecretArray<Word> outputs_;
};

}  // namespace capc::gc
