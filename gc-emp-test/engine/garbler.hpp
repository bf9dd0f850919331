#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base_ot.hpp"
#include "lanes.hpp"
#include "layout.hpp"
#include "ot_extension.hpp"
#include "session.hpp"
#include "wire_format.hpp"

namespace capc::gc {

constexpr std::size_t kSetupOfferBytes = kHeaderBytes + kPointBytes;
constexpr std::size_t kSetupChoiceBytes = kHeaderBytes + kStartBytes + kBaseTransfers * kPointBytes;
constexpr std::size_t kSetupTreesBytes = kHeaderBytes + kShallowTrees.message_bytes();

class GarblerBatch;

/// The garbler's end of a session with one evaluator. It does no input or output: each call takes
/// the bytes of a message and fills the next one. After a ProtocolError the session is dead.
class GarblerSession {
 public:
  explicit GarblerSession(Path path = best_path());
  ~GarblerSession();
  GarblerSession(GarblerSession&&) noexcept;
  GarblerSession& operator=(GarblerSession&&) noexcept;

  /// The answer (kSetupChoiceBytes) to the evaluator's SetupOffer.
  void setup_choose(ConstBytes offer, Bytes out);
  /// Half of the work of set-up, which needs no message: call it while the evaluator does its half.
  void setup_keys();
  void setup_finish(ConstBytes trees);

  /// A batch to be used later, when the shares are known. `fixed`: fixed_words per instance.
  [[nodiscard]] std::unique_ptr<GarblerBatch> prepare(CircuitPtr circuit, std::size_t instances,
                                                      std::span<const Word> fixed);
  /// A batch whose inputs are all known: it is over with its last chunk.
  [[nodiscard]] std::unique_ptr<GarblerBatch> run(CircuitPtr circuit, std::size_t instances,
                                                  std::span<const Word> online,
                                                  std::span<const Word> fixed);

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

/// One circuit over many instances, used once.
class GarblerBatch {
 public:
  GarblerBatch(std::shared_ptr<GarblerSession::Core> core, CircuitPtr circuit,
               std::size_t instances, std::span<const Word> fixed,
               std::optional<std::span<const Word>> online);
  ~GarblerBatch();

  [[nodiscard]] const BatchLayout& layout() const { return layout_; }
  [[nodiscard]] const Circuit& circuit() const { return circuit_->circuit; }
  [[nodiscard]] std::size_t chunks_done() const { return chunk_; }

  /// From the Choice message of the next chunk to its Tables message (layout().tables_bytes).
  /// ProtocolError, with no byte of tables written, where the choices do not fit their check.
  void garble_chunk(ConstBytes choice, Bytes tables);
  /// Online: the Masked message and the shares, online_words per instance; then the chunks' Labels
  /// messages one by one (layout().labels_bytes(chunk)), so that evaluating and sending overlap.
  void take_masked(ConstBytes masked, std::span<const Word> shares);
  void label_chunk(Bytes labels);
  [[nodiscard]] std::size_t chunks_labelled() const { return labelled_chunks_; }
  /// Both at once: all Labels messages one after the other (layout().labels_bytes()).
  void label_shares(ConstBytes masked, std::span<const Word> shares, Bytes labels);
  /// The garbler's outputs (garbler_out_words per instance) from the Return message: the evaluator
  /// proves each bit by its label, and any other string is a ProtocolError.
  void decode(ConstBytes returned, std::span<Word> outputs);

 private:
  void garble_block(std::size_t block, std::size_t lanes, const Block* evaluator_labels,
                    const RoundKeys& seed, Writer& out);
  void write_outputs(std::size_t block, std::size_t lanes, Writer& out);
  void write_shared(const OutputWord& word, const std::vector<SlotRef>& refs, std::size_t block,
                    std::size_t lanes, std::size_t first_term, std::size_t mask, Writer& out);
  /// False where a label is neither of its output's two; time does not depend on which.
  [[nodiscard]] bool decode_labels(Reader& returned, std::span<Word> outputs) const;
  [[nodiscard]] Header header(MessageType type, std::size_t chunk) const;

  std::shared_ptr<GarblerSession::Core> core_;
  CircuitPtr circuit_;
  BatchLayout layout_;
  std::uint64_t number_;
  std::uint64_t first_tweak_;
  SecretArray<Word> fixed_;
  SecretArray<Word> online_;  // in two phases: the shares with the evaluator's differences added
  bool one_phase_;
  bool labelled_ = false;
  std::size_t labelled_chunks_ = 0;
  bool decoded_ = false;
  std::size_t chunk_ = 0;
  SecretArray<RoundKeys> online_key_;
  SecretArray<Block> output_labels_;  // zero labels of the garbler's outputs, by block, bit, lane
};

}  // namespace capc::gc
