#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base_ot.hpp"
#include "lanes.hpp"
#include "lookup_plan.hpp"
#include "ot_extension.hpp"
#include "party_bits.hpp"
#include "secret.hpp"
#include "session.hpp"
#include "stock.hpp"
#include "table_pads.hpp"
#include "wire_format.hpp"

namespace capc::gc {

// Set-up messages, chooser -> holder -> chooser -> holder: base transfers in both directions.
constexpr std::size_t kLookupOfferBytes = kHeaderBytes + kPointBytes;
constexpr std::size_t kLookupChoiceBytes =
    kHeaderBytes + kStartBytes + (kBaseTransfers + 1) * kPointBytes;
[[nodiscard]] constexpr std::size_t lookup_answer_bytes(const TreeShape& shape = kShallowTrees) {
  return kHeaderBytes + shape.message_bytes() + kStartBytes + kBaseTransfers * kPointBytes;
}
[[nodiscard]] constexpr std::size_t lookup_trees_bytes(const TreeShape& shape = kShallowTrees) {
  return kHeaderBytes + shape.message_bytes();
}

class HolderBatch;

/// Where a batch has its transfers from. Both ends say the same.
enum class Source : std::uint8_t {
  Corrections,  ///< messages of its own: some bytes a transfer
  Stock,        ///< the session's stocks, which take longer to fill and are for large layers
};

/// The end of a session of look-ups that has the tables. It does no input or output: each call
/// takes the bytes of a message or fills the next one. After a ProtocolError the session is dead.
/// Both ends have trees of the same shape, in both directions: another one is a ProtocolError.
class HolderSession {
 public:
  explicit HolderSession(Path path = best_path(), const SilentParameters& silent = kSilent,
                         const TreeShape& shape = kShallowTrees);
  ~HolderSession();
  HolderSession(HolderSession&&) noexcept;
  HolderSession& operator=(HolderSession&&) noexcept;

  [[nodiscard]] const TreeShape& shape() const;

  /// The answer (kLookupChoiceBytes) to the chooser's offer.
  void setup_choose(ConstBytes offer, Bytes out);
  /// The last message of set-up (lookup_trees_bytes), from the chooser's answer.
  void setup_finish(ConstBytes answer, Bytes out);

  /// A function of so many numbers, to be computed later. `masks` become the holder's shares of the
  /// outputs, and must be fresh and uniform: at most kMaxLookupInstances of them.
  [[nodiscard]] std::unique_ptr<HolderBatch> prepare(const LookupPlan& plan,
                                                     std::span<const Word> masks,
                                                     Source source = Source::Corrections);
  /// Silent transfers for the tables, and for those back. StateError before the set-up is finished.
  [[nodiscard]] StockSender& stock();
  [[nodiscard]] StockReceiver& stock_back();

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

/// The instances of a batch, used once. Ahead, in either order: `correct`, or draw_back until all
/// is there; take_correlations for each chunk, or `draw`. Then `begin`, once what it has drawn back
/// is proven, and an answer for each step of the plan.
class HolderBatch {
 public:
  HolderBatch(std::shared_ptr<HolderSession::Core> core, const LookupPlan& plan,
              std::span<const Word> masks, Source source);
  ~HolderBatch();

  /// Memory of one instance, from its preparation on.
  [[nodiscard]] static std::size_t instance_bytes(const LookupPlan& plan);

  [[nodiscard]] const LookupPlan& plan() const { return plan_; }
  [[nodiscard]] std::size_t instances() const { return masks_.size(); }
  [[nodiscard]] bool has_forward() const { return forward_ == instances(); }
  [[nodiscard]] bool has_back() const { return back_ == instances(); }
  [[nodiscard]] bool is_prepared() const { return has_forward() && has_back(); }
  [[nodiscard]] std::size_t steps_done() const { return step_; }

  /// The CorrelateBack message (back_bytes()): this side's random choices.
  void correct(Bytes back);
  [[nodiscard]] std::size_t back_bytes() const;
  /// The next chunk's Correlate message.
  void take_correlations(ConstBytes correlations);
  /// What a stock has, of what the batch still needs: for the tables, or for those back.
  void draw();
  void draw_back();
  /// Online: the holder's shares, of each instance's inputs together.
  void begin(std::span<const Word> shares);
  /// From the next step's Choose message to its Table message (plan().table_bytes).
  void answer(ConstBytes choose, Bytes table);

 private:
  void fill_back(std::size_t first, std::size_t count, const Block* labels);
  void note_forward(std::size_t count);
  void note_back(std::size_t count);
  void answer_node(const Lookup& lookup, BitUnpacker& in, BitPacker& out);
  void answer_number(const Lookup& lookup, BitUnpacker& in, BitPacker& out);
  /// The entries of a table of one number, for each choice, less this side's share; `own` is its
  /// part of the bit.
  [[nodiscard]] std::pair<Word, Word> number_entries(const Lookup& lookup, std::size_t instance,
                                                     Word own) const;
  void answer_selection(const Lookup& lookup, BitUnpacker& in, BitPacker& out);
  /// This side's shares of a table's bits: those that `ahead_` fixes come out as they are to be.
  /// `own` is what it has of the bits before, and of the others the mask is entry 0.
  [[nodiscard]] NodeEntry masks_of(const Lookup& lookup, const NodeTable& table,
                                   const NodeEntry& own, std::size_t slice) const;
  [[nodiscard]] Header header(MessageType type, std::size_t chunk) const;

  std::shared_ptr<HolderSession::Core> core_;
  LookupPlan plan_;
  Source source_;
  std::uint64_t number_;
  std::uint64_t first_tweak_;
  bool begun_ = false;
  std::size_t forward_ = 0;  // instances that have their transfers, of either direction
  std::size_t back_ = 0;
  std::uint64_t rounds_ = 0;  // of the stock back, up to the last one drawn on
  std::size_t step_ = 0;
  SecretArray<Word> masks_;
  SecretArray<Word> shares_;  // the first input's of all instances, then the next one's
  BitPlanes ahead_;           // the choices of the transfers back
  SecretArray<Word> values_;  // this side's parts of the inputs' values, as the shares
  SecretArray<Word> rests_;   // and of what is added to the selected value
  PartyBits bits_;
  SenderPads pads_;
  ReceiverPads pads_back_;
};

}  // namespace capc::gc
