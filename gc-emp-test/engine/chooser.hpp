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
  explicit ChooserSession(Path path = best_path(), const SilentParameters& silent = kSilent,
                          const TreeShape& shape = kShallowTrees);
  ~ChooserSession();
  ChooserSession(ChooserSession&&) noexcept;
  ChooserSession& operator=(ChooserSession&&) noexcept;

  [[nodiscard]] const TreeShape& shape() const;

  /// The first message of a session: kLookupOfferBytes.
  void setup_offer(Bytes out);
  /// The answer (lookup_answer_bytes) to the holder's choice.
  void setup_answer(ConstBytes choice, Bytes out);
  void setup_finish(ConstBytes trees);

  [[nodiscard]] std::unique_ptr<ChooserBatch> prepare(const LookupPlan& plan, std::size_t instances,
                                                      Source source = Source::Corrections);
  /// As the holder's.
  [[nodiscard]] StockReceiver& stock();
  [[nodiscard]] StockSender& stock_back();

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

/// The instances of a batch, used once. Ahead, in either order: take_back, or draw_back until all
/// is there; `correlate` for each chunk, or `draw`. Then `begin`, once what it has drawn is proven,
/// and `choose` and take_table for each step of the plan.
class ChooserBatch {
 public:
  ChooserBatch(std::shared_ptr<ChooserSession::Core> core, const LookupPlan& plan,
               std::size_t instances, Source source);
  ~ChooserBatch();

  [[nodiscard]] const LookupPlan& plan() const { return plan_; }
  [[nodiscard]] std::size_t instances() const { return instances_; }
  [[nodiscard]] bool has_forward() const { return forward_ == instances_; }
  [[nodiscard]] bool has_back() const { return back_ == instances_; }
  [[nodiscard]] bool is_prepared() const { return has_forward() && has_back(); }
  [[nodiscard]] std::size_t chunks_done() const;
  [[nodiscard]] std::size_t steps_done() const { return step_; }

  void take_back(ConstBytes back);
  /// The next chunk's Correlate message (correlate_bytes()).
  void correlate(Bytes out);
  [[nodiscard]] std::size_t correlate_bytes() const;
  /// What a stock has, of what the batch still needs: for the tables, or for those back.
  void draw();
  void draw_back();
  /// Online: the chooser's shares, of each instance's inputs together.
  void begin(std::span<const Word> shares);
  /// The next step's Choose message (plan().choose_bytes), then the Table message that answers it.
  void choose(Bytes out);
  void take_table(ConstBytes table);
  /// This side's shares of the tree's nodes, for tests: uniform, whatever both parties' inputs are.
  [[nodiscard]] const PartyBits& node_shares() const { return bits_; }
  /// One share an instance: the function's value, less the holder's mask, modulo 2^output_bits.
  [[nodiscard]] std::span<const Word> outputs() const;

 private:
  void note_forward(std::size_t count);
  void note_back(std::size_t count);
  void choose_entries(const Lookup& lookup, BitPacker& out);
  void read_entries(const Lookup& lookup, BitUnpacker& in);
  void read_nodes(const Lookup& lookup, BitUnpacker& in);
  void read_numbers(const Lookup& lookup, BitUnpacker& in);
  /// The table back of a merge or a final, whose masks become this side's first shares of its
  /// nodes.
  void write_joined_back(const Lookup& lookup, std::size_t slice, std::size_t count,
                         BitPacker& out);
  /// The corrections that let the holder have what is kept of this side's part, less the value that
  /// this side has from then on. `signs` are the instance's choice.
  void write_selection_back(const Lookup& select, std::size_t instance, Word signs, BitPacker& out);
  [[nodiscard]] Header header(MessageType type, std::size_t chunk) const;

  std::shared_ptr<ChooserSession::Core> core_;
  LookupPlan plan_;
  std::size_t instances_;
  Source source_;
  std::uint64_t number_;
  std::uint64_t first_tweak_;
  bool begun_ = false;
  bool chosen_ = false;
  std::size_t forward_ = 0;  // instances that have their transfers, of either direction
  std::size_t back_ = 0;
  std::uint64_t rounds_ = 0;  // of the stock, up to the last one drawn on
  std::size_t step_ = 0;
  SecretArray<Word>
      values_;  // this side's parts of the inputs' values; the first becomes the output
  SecretArray<Word> rests_;  // and of what is added to the selected value
  PartyBits bits_;
  ReceiverPads pads_;
  SenderPads pads_back_;
};

}  // namespace capc::gc
