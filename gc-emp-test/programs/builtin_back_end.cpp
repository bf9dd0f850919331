#include <deque>
#include <utility>
#include <vector>

#include "back_end.hpp"
#include "evaluator.hpp"
#include "failures.hpp"
#include "garbler.hpp"

namespace capc::gc::programs {
namespace {

/// A message buffer; what passes through it is meant for the peer, or came from it.
class Message {
 public:
  [[nodiscard]] Bytes sized(std::size_t bytes) {
    storage_.resize(bytes);
    return storage_;
  }

 private:
  std::vector<std::uint8_t> storage_;
};

WordTable new_table(std::size_t instances, std::size_t words) {
  return {instances, words, SecretArray<Word>(instances * words)};
}

/// The batch prepared first, which must fit the shares.
template <class Batch>
std::unique_ptr<Batch> take_first(std::deque<std::unique_ptr<Batch>>& batches,
                                  const WordTable& shares) {
  if (batches.empty()) throw StateError("nothing is prepared; a batch has to be prepared first");
  if (batches.front()->layout().instances() != shares.instances) {
    throw UsageError("shares came for " + std::to_string(shares.instances) +
                     " instances and the batch in turn has " +
                     std::to_string(batches.front()->layout().instances()));
  }
  std::unique_ptr<Batch> batch = std::move(batches.front());
  batches.pop_front();
  return batch;
}

class BuiltinGarbler final : public BackEnd {
 public:
  BuiltinGarbler(Circuit circuit, Link& link)
      : circuit_(std::make_shared<const CompiledCircuit>(std::move(circuit))), link_(link) {}

  void set_up() override {
    link_.read(in_.sized(kSetupOfferBytes));
    session_.setup_choose(in_.sized(kSetupOfferBytes), out_.sized(kSetupChoiceBytes));
    link_.write(out_.sized(kSetupChoiceBytes));
    link_.flush();
    session_.setup_keys();
    link_.read(in_.sized(kSetupTreesBytes));
    session_.setup_finish(in_.sized(kSetupTreesBytes));
  }

  void prepare(std::size_t instances, std::span<const Word> fixed) override {
    require_fixed_words(Party::Garbler, circuit_->circuit, instances, fixed.size());
    auto batch = session_.prepare(circuit_, instances, fixed);
    garble(*batch);
    batches_.push_back(std::move(batch));
  }

  WordTable evaluate(const WordTable& shares) override {
    require_share_words(Party::Garbler, circuit_->circuit, shares);
    const auto batch = take_first(batches_, shares);
    const BatchLayout& layout = batch->layout();
    const Bytes masked = in_.sized(layout.masked_bytes());
    link_.read(masked);
    batch->take_masked(masked, shares.all());
    for (std::size_t chunk = 0; chunk < layout.chunk_count(); ++chunk) {
      const Bytes labels = out_.sized(layout.labels_bytes(chunk));
      batch->label_chunk(labels);
      link_.write(labels);
    }
    link_.flush();
    return decode(*batch);
  }

  WordTable run(const WordTable& shares, std::span<const Word> fixed) override {
    require_fixed_words(Party::Garbler, circuit_->circuit, shares.instances, fixed.size());
    require_share_words(Party::Garbler, circuit_->circuit, shares);
    const auto batch = session_.run(circuit_, shares.instances, shares.all(), fixed);
    garble(*batch);
    return decode(*batch);
  }

 private:
  void garble(GarblerBatch& batch) {
    const BatchLayout& layout = batch.layout();
    for (std::size_t chunk = 0; chunk < layout.chunk_count(); ++chunk) {
      const Bytes choice = in_.sized(layout.choice_bytes(chunk));
      link_.read(choice);
      const Bytes tables = out_.sized(layout.tables_bytes(chunk));
      batch.garble_chunk(choice, tables);
      link_.write(tables);
    }
    link_.flush();
  }

  WordTable decode(GarblerBatch& batch) {
    const std::size_t words = circuit_->circuit.garbler_out_words();
    WordTable table = new_table(batch.layout().instances(), words);
    if (words > 0) {
      const Bytes returned = in_.sized(batch.layout().return_bytes());
      link_.read(returned);
      batch.decode(returned, {table.values.data(), table.values.size()});
    }
    return table;
  }

  CircuitPtr circuit_;
  Link& link_;
  GarblerSession session_;
  std::deque<std::unique_ptr<GarblerBatch>> batches_;
  Message in_;
  Message out_;
};

class BuiltinEvaluator final : public BackEnd {
 public:
  BuiltinEvaluator(Circuit circuit, Link& link)
      : circuit_(std::make_shared<const CompiledCircuit>(std::move(circuit))), link_(link) {}

  void set_up() override {
    session_.setup_offer(out_.sized(kSetupOfferBytes));
    link_.write(out_.sized(kSetupOfferBytes));
    const Bytes choice = in_.sized(kSetupChoiceBytes);
    link_.read(choice);
    session_.setup_answer(choice, out_.sized(kSetupTreesBytes));
    link_.write(out_.sized(kSetupTreesBytes));
    link_.flush();
  }

  void prepare(std::size_t instances, std::span<const Word> fixed) override {
    require_fixed_words(Party::Evaluator, circuit_->circuit, instances, fixed.size());
    auto batch = session_.prepare(circuit_, instances);
    take_tables(*batch);
    batches_.push_back(std::move(batch));
  }

  WordTable evaluate(const WordTable& shares) override {
    require_share_words(Party::Evaluator, circuit_->circuit, shares);
    const auto batch = take_first(batches_, shares);
    const BatchLayout& layout = batch->layout();
    batch->mask_shares(shares.all(), out_.sized(layout.masked_bytes()));
    link_.write(out_.sized(layout.masked_bytes()));
    for (std::size_t chunk = 0; chunk < layout.chunk_count(); ++chunk) {
      const Bytes labels = in_.sized(layout.labels_bytes(chunk));
      link_.read(labels);
      batch->evaluate_chunk(labels);
    }
    return finish(*batch);
  }

  WordTable run(const WordTable& shares, std::span<const Word> fixed) override {
    require_fixed_words(Party::Evaluator, circuit_->circuit, shares.instances, fixed.size());
    require_share_words(Party::Evaluator, circuit_->circuit, shares);
    const auto batch = session_.run(circuit_, shares.instances, shares.all());
    take_tables(*batch);
    return finish(*batch);
  }

 private:
  void take_tables(EvaluatorBatch& batch) {
    const BatchLayout& layout = batch.layout();
    while (batch.chunks_done() < layout.chunk_count()) {
      const std::size_t chunk = batch.chunks_done();
      while (batch.choices_made() < layout.chunk_count() &&
             batch.choices_made() < chunk + batch.window()) {
        const Bytes choice = out_.sized(layout.choice_bytes(batch.choices_made()));
        batch.choose_chunk(choice);
        link_.write(choice);
      }
      link_.flush();
      const Bytes tables = in_.sized(layout.tables_bytes(chunk));
      link_.read(tables);
      batch.take_chunk(tables);
    }
  }

  WordTable finish(EvaluatorBatch& batch) {
    if (circuit_->circuit.garbler_out_words() > 0) {
      const Bytes returned = out_.sized(batch.layout().return_bytes());
      batch.return_labels(returned);
      link_.write(returned);
      link_.flush();
    }
    WordTable table =
        new_table(batch.layout().instances(), circuit_->circuit.evaluator_out_words());
    const std::span<const Word> outputs = batch.outputs();
    for (std::size_t i = 0; i < outputs.size(); ++i) table.values[i] = outputs[i];
    return table;
  }

  CircuitPtr circuit_;
  Link& link_;
  EvaluatorSession session_;
  std::deque<std::unique_ptr<EvaluatorBatch>> batches_;
  Message in_;
  Message out_;
};

}  // namespace

std::string back_end_name() { return "builtin"; }

std::unique_ptr<BackEnd> make_back_end(Party party, Circuit circuit, Link& link) {
  if (party == Party::Garbler) return std::make_unique<BuiltinGarbler>(std::move(circuit), link);
  return std::make_unique<BuiltinEvaluator>(std::move(circuit), link);
}

}  // namespace capc::gc::programs
