#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base_ot.hpp"
#include "ot_extension.hpp"
#include "relu_plan.hpp"
#include "secret.hpp"
#include "session.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// Set-up messages, chooser -> holder -> chooser -> holder: base transfers in both directions.
constexpr std::size_t kLookupOfferBytes = kHeaderBytes + kPointBytes;
constexpr std::size_t kLookupChoiceBytes =
    kHeaderBytes + kStartBytes + (kBaseTransfers + 1) * kPointBytes;
constexpr std::size_t kLookupAnswerBytes =
    kHeaderBytes + kTreeMessageBytes + kStartBytes + kBaseTransfers * kPointBytes;
constexpr std::size_t kLookupTreesBytes = kHeaderBytes + kTreeMessageBytes;

class HolderBatch;

/// The end of a session of look-ups that has the tables. It does no input or output: each call
/// takes the bytes of a message or fills the next one. After a ProtocolError the session is dead.
class HolderSession {
 public:
  explicit HolderSession(Path path = best_path());
  ~HolderSession();
  HolderSession(HolderSession&&) noexcept;
  HolderSession& operator=(HolderSession&&) noexcept;

  /// The answer (kLookupChoiceBytes) to the chooser's offer.
  void setup_choose(ConstBytes offer, Bytes out);
  /// The last message of set-up (kLookupTreesBytes), from the chooser's answer.
  void setup_finish(ConstBytes answer, Bytes out);

  /// ReLUs to be computed later. `masks` become the holder's shares of the outputs, and must be
  /// fresh and uniform: at most kMaxLookupInstances of them.
  [[nodiscard]] std::unique_ptr<HolderBatch> prepare(const ReluPlan& plan,
                                                     std::span<const Word> masks);

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

/// The ReLUs of a batch, used once: `correct`, then take_correlations for each chunk, then `begin`
/// and an answer for each step of the plan.
class HolderBatch {
 public:
  HolderBatch(std::shared_ptr<HolderSession::Core> core, const ReluPlan& plan,
              std::span<const Word> masks);
  ~HolderBatch();

  [[nodiscard]] const ReluPlan& plan() const { return plan_; }
  [[nodiscard]] std::size_t instances() const { return masks_.size(); }
  [[nodiscard]] std::size_t chunks_done() const { return chunk_; }
  [[nodiscard]] std::size_t steps_done() const { return step_; }

  /// The CorrelateBack message (plan().back_bytes): this side's random choices.
  void correct(Bytes back);
  /// The next chunk's Correlate message.
  void take_correlations(ConstBytes correlations);
  /// Online: the holder's shares, one an instance.
  void begin(std::span<const Word> shares);
  /// From the next step's Choose message to its Table message (plan().table_bytes).
  void answer(ConstBytes choose, Bytes table);

 private:
  /// What the tables of one step are filled with beside the shares.
  struct Row {
    std::size_t instance;
    Word noise;  ///< fresh bits: the masks of this instance's nodes
    Word back;   ///< the chooser's correction of the transfer back
  };
  void fill(const Lookup& lookup, const Row& row, Word* entries);
  void fill_nodes(const Lookup& lookup, const Row& row, Word* entries);
  void fill_selection(const Row& row, Word* entries) const;
  void pads(const Lookup& lookup, std::size_t instance, Word* out) const;
  [[nodiscard]] Header header(MessageType type, std::size_t chunk) const;

  std::shared_ptr<HolderSession::Core> core_;
  ReluPlan plan_;
  std::uint64_t number_;
  std::uint64_t first_tweak_;
  bool corrected_ = false;
  bool begun_ = false;
  std::size_t chunk_ = 0;
  std::size_t step_ = 0;
  SecretArray<Word> masks_;
  SecretArray<Word> shares_;
  SecretArray<Word> signs_;      // random: this side's shares of the signs, one bit each
  SecretArray<Word> back_pads_;  // of the transfers back, at the choice
  SecretArray<NodeBits> nodes_;
  SecretArray<Block> sums_;  // Q of each look-up
};

}  // namespace capc::gc
