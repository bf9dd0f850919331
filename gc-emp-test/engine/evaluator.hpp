#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "garbler.hpp"

namespace capc::gc {

class EvaluatorBatch;

/// The evaluator's end of a session with one garbler; see GarblerSession.
class EvaluatorSession {
 public:
  explicit EvaluatorSession(Path path = best_path());
  ~EvaluatorSession();
  EvaluatorSession(EvaluatorSession&&) noexcept;
  EvaluatorSession& operator=(EvaluatorSession&&) noexcept;

  /// The first message of a session: kSetupOfferBytes.
  void setup_offer(Bytes out);
  /// The answer (kSetupTreesBytes) to the garbler's SetupChoice.
  void setup_answer(ConstBytes choice, Bytes out);

  [[nodiscard]] std::unique_ptr<EvaluatorBatch> prepare(CircuitPtr circuit, std::size_t instances);
  /// `inputs`: evaluator_words per instance.
  [[nodiscard]] std::unique_ptr<EvaluatorBatch> run(CircuitPtr circuit, std::size_t instances,
                                                    std::span<const Word> inputs);

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

class EvaluatorBatch {
 public:
  EvaluatorBatch(std::shared_ptr<EvaluatorSession::Core> core, CircuitPtr circuit,
                 std::size_t instances, std::optional<std::span<const Word>> inputs);
  ~EvaluatorBatch();

  [[nodiscard]] const BatchLayout& layout() const { return layout_; }
  [[nodiscard]] const Circuit& circuit() const { return circuit_->circuit; }
  [[nodiscard]] std::size_t choices_made() const { return chosen_; }
  [[nodiscard]] std::size_t chunks_done() const { return chunk_; }
  /// Choice messages that may be under way at once without filling a socket's buffers.
  [[nodiscard]] std::size_t window() const;

  /// The Choice message of the next chunk (layout().choice_bytes).
  void choose_chunk(Bytes choice);
  /// The Tables message of the next chunk: evaluated now in one phase, else kept.
  void take_chunk(ConstBytes tables);
  /// Online: the Masked message (layout().masked_bytes) from the shares.
  void mask_shares(std::span<const Word> shares, Bytes masked);
  /// Online: evaluates the next chunk with its Labels message.
  void evaluate_chunk(ConstBytes labels);
  [[nodiscard]] std::size_t chunks_evaluated() const { return evaluated_chunks_; }
  /// All chunks, with their Labels messages one after the other.
  void evaluate(ConstBytes labels);

  /// evaluator_out_words per instance, once everything is evaluated.
  [[nodiscard]] std::span<const Word> outputs() const;
  /// The Return message (layout().return_bytes), where the garbler has outputs.
  void return_labels(Bytes out) const;

 private:
  void evaluate_tables(std::size_t chunk, ConstBytes body, Reader* online_labels);
  void evaluate_block(std::size_t block, std::size_t lanes, const Block* own_labels,
                      const RoundKeys& seed, Reader& tables, Reader* online_labels);
  void read_outputs(std::size_t block, std::size_t lanes, Reader& tables);
  void read_shared(const OutputWord& word, const std::vector<SlotRef>& refs, std::size_t block,
                   std::size_t lanes, std::size_t first_term, Reader& tables, Word* outputs);
  [[nodiscard]] ConstBytes open_tables(ConstBytes tables) const;
  [[nodiscard]] Header header(MessageType type, std::size_t chunk) const;

  std::shared_ptr<EvaluatorSession::Core> core_;
  CircuitPtr circuit_;
  BatchLayout layout_;
  std::uint64_t number_;
  std::uint64_t first_tweak_;
  bool one_phase_;
  bool masked_ = false;
  std::size_t evaluated_chunks_ = 0;
  std::size_t chosen_ = 0;
  std::size_t chunk_ = 0;
  SecretArray<Word> inputs_;
  std::vector<SecretArray<Block>> labels_;         // by chunk, freed once used
  std::vector<std::vector<std::uint8_t>> tables_;  // by chunk, in two phases
  std::vector<Word> outputs_;
  SecretArray<Block> returned_;  // active labels of the garbler's outputs, by block, bit, lane
};

}  // namespace capc::gc
