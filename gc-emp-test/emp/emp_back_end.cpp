#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "back_end.hpp"
#include "emp_line.hpp"
#include "failures.hpp"
#include "gate_list.hpp"

namespace capc::gc::programs {
namespace {

/// Labels of one batch: a row of wires an instance.
using Labels = std::vector<emp::block>;

/// What one party feeds: the words of an instance in the order of the circuit's inputs of a kind.
struct Feed {
  InputKind kind;
  std::span<const Word> words;  // instances rows; empty where the peer feeds this kind
};

/// The same circuits as the project's own engine runs, on EMP: gate by gate, everything online.
/// EMP keeps a session in global variables, so a process has one EmpBackEnd.
class EmpBackEnd final : public BackEnd {
 public:
  EmpBackEnd(Party party, const Circuit& circuit, Link& link)
      : party_(party), circuit_(lower_shared_outputs(circuit)), link_(link) {}

  void set_up() override { session_.emplace(party_, link_); }

  void prepare(std::size_t instances, std::span<const Word> fixed) override {
    require_fixed_words(party_, circuit_, instances, fixed.size());
    WordTable table{instances, circuit_.fixed_words(), SecretArray<Word>(fixed.size())};
    std::copy(fixed.begin(), fixed.end(), table.values.begin());
    prepared_.push_back(std::move(table));
  }

  WordTable evaluate(const WordTable& shares) override {
    require_share_words(party_, circuit_, shares);
    if (prepared_.empty())
      throw StateError("nothing is prepared; a batch has to be prepared first");
    if (prepared_.front().instances != shares.instances) {
      throw UsageError("shares came for " + std::to_string(shares.instances) +
                       " instances and the batch in turn has " +
                       std::to_string(prepared_.front().instances));
    }
    const WordTable fixed = std::move(prepared_.front());
    prepared_.pop_front();
    return run(shares, fixed.all());
  }

  WordTable run(const WordTable& shares, std::span<const Word> fixed) override {
    require_fixed_words(party_, circuit_, shares.instances, fixed.size());
    require_share_words(party_, circuit_, shares);
    const bool garbles = party_ == Party::Garbler;
    const std::span<const Word> none;
    Labels labels(shares.instances * circuit_.wire_count());
    feed(labels, shares.instances, {InputKind::GarblerOnline, garbles ? shares.all() : none});
    feed(labels, shares.instances, {InputKind::GarblerFixed, garbles ? fixed : none});
    feed(labels, shares.instances, {InputKind::Evaluator, garbles ? none : shares.all()});
    for (std::size_t i = 0; i < shares.instances; ++i) run_gates(circuit_, row(labels, i));
    WordTable learnt = reveal(labels, shares.instances);
    link_.flush();
    return learnt;
  }

 private:
  std::span<emp::block> row(Labels& labels, std::size_t instance) const {
    return std::span(labels).subspan(instance * circuit_.wire_count(), circuit_.wire_count());
  }

  /// The labels of all input wires of one kind, in one call of EMP.
  void feed(Labels& labels, std::size_t instances, const Feed& feed) const {
    const std::size_t bits = circuit_.input_bits(feed.kind) * instances;
    if (bits == 0) return;
    SecretArray<bool> values(bits);
    std::vector<emp::block> fed(bits);
    std::size_t at = 0;
    std::size_t word_at = 0;
    for (std::size_t i = 0; i < instances && !feed.words.empty(); ++i) {
      for (const InputWord& word : circuit_.inputs()) {
        if (word.kind != feed.kind) continue;
        const Word value = feed.words[word_at++];
        for (std::size_t b = 0; b < word.wires.size(); ++b) values[at++] = ((value >> b) & 1) != 0;
      }
    }
    const int feeder = feed.kind == InputKind::Evaluator ? emp::BOB : emp::ALICE;
    emp_feed(fed.data(), feeder, values.data(), bits);
    at = 0;
    for (std::size_t i = 0; i < instances; ++i) {
      const std::span<emp::block> wires = row(labels, i);
      for (const InputWord& word : circuit_.inputs()) {
        if (word.kind != feed.kind) continue;
        for (const Wire wire : word.wires) wires[wire] = fed[at++];
      }
    }
  }

  [[nodiscard]] bool learns(OutputKind kind) const {
    const OutputKind alone = party_ == Party::Garbler ? OutputKind::Garbler : OutputKind::Evaluator;
    return kind == OutputKind::Both || kind == alone;
  }

  /// Opens each output word to whom it belongs; the words that this party learns.
  WordTable reveal(Labels& labels, std::size_t instances) const {
    const std::size_t words = out_words(party_, circuit_);
    WordTable learnt{instances, words, SecretArray<Word>(instances * words)};
    std::size_t at = 0;
    for (std::size_t i = 0; i < instances; ++i) {
      for (const OutputWord& output : circuit_.outputs()) {
        const Word value = reveal_word(output, row(labels, i));
        if (learns(output.kind)) learnt.values[at++] = value;
      }
    }
    return learnt;
  }

  Word reveal_word(const OutputWord& output, std::span<const emp::block> wires) const {
    const std::size_t bits = output.wires.size();
    std::vector<emp::block> opened(bits);
    SecretArray<bool> values(bits);
    for (std::size_t b = 0; b < bits; ++b) opened[b] = wires[output.wires[b]];
    const int receiver = output.kind == OutputKind::Both        ? emp::PUBLIC
                         : output.kind == OutputKind::Evaluator ? emp::BOB
                                                                : emp::ALICE;
    emp_reveal(values.data(), receiver, opened.data(), bits);
    Word value = 0;
    for (std::size_t b = 0; b < bits; ++b) value |= static_cast<Word>(values[b]) << b;
    return value;
  }

  Party party_;
  Circuit circuit_;
  Link& link_;
  std::optional<EmpSession> session_;
  std::deque<WordTable> prepared_;
};

}  // namespace

std::string back_end_name() { return "emp"; }

std::unique_ptr<BackEnd> make_back_end(Party party, Circuit circuit, Link& link) {
  return std::make_unique<EmpBackEnd>(party, circuit, link);
}

}  // namespace capc::gc::programs
