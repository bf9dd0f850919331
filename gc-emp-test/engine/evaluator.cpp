#include "evaluator.hpp"

#include <algorithm>
#include <cstring>

#include "checked_choices.hpp"
#include "session_core.hpp"

namespace capc::gc {

struct EvaluatorSession::Core : SessionCore {
  using SessionCore::SessionCore;

  std::unique_ptr<BaseSender> base = std::make_unique<BaseSender>();
  std::vector<std::uint8_t> offer;  // the message, once it is sent
  Turn choices;
  Turn tables;
  std::unique_ptr<TransferReceiver> receiver;
  std::vector<std::vector<std::uint8_t>> spare_tables;  // buffers of used batches, for the next
};

namespace {

constexpr std::size_t kWindowBytes = std::size_t{64} << 10U;

}  // namespace

EvaluatorSession::EvaluatorSession(Path path) : core_(std::make_shared<Core>(path)) {}
EvaluatorSession::~EvaluatorSession() = default;
EvaluatorSession::EvaluatorSession(EvaluatorSession&&) noexcept = default;
EvaluatorSession& EvaluatorSession::operator=(EvaluatorSession&&) noexcept = default;

void EvaluatorSession::setup_offer(Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (!core_->offer.empty()) throw StateError("the session's set-up was begun already");
  Writer writer(out);
  writer.value(setup_header(MessageType::SetupOffer));
  core_->base->offer(writer.take(kPointBytes));
  core_->offer.assign(out.begin(), out.end());
}

void EvaluatorSession::setup_answer(ConstBytes choice, Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (core_->offer.empty() || !core_->base) throw StateError("the set-up is not at this point");
  const std::unique_ptr<BaseSender> base = std::move(core_->base);
  Reader reader(open_message(choice, setup_header(MessageType::SetupChoice),
                             kSetupChoiceBytes - kHeaderBytes));
  core_->start = reader.value<Block>();
  SecretArray<Block> zero(kBaseTransfers);
  SecretArray<Block> one(kBaseTransfers);
  base->keys(core_->start, reader.take(kBaseTransfers * kPointBytes), zero, one);
  core_->transcript = setup_digest(core_->sha256, core_->offer, choice);
  Writer writer(out);
  writer.value(setup_header(MessageType::SetupTrees));
  core_->receiver =
      std::make_unique<TransferReceiver>(*core_->kernels, kShallowTrees, core_->transcript, zero,
                                         one, writer.take(kShallowTrees.message_bytes()));
  core_->transcript = setup_digest(core_->sha256, core_->transcript, out);
  core_->ready = true;
}

std::unique_ptr<EvaluatorBatch> EvaluatorSession::prepare(CircuitPtr circuit,
                                                          std::size_t instances) {
  require_two_phases(*circuit);
  return std::make_unique<EvaluatorBatch>(core_, std::move(circuit), instances, std::nullopt);
}

std::unique_ptr<EvaluatorBatch> EvaluatorSession::run(CircuitPtr circuit, std::size_t instances,
                                                      std::span<const Word> inputs) {
  return std::make_unique<EvaluatorBatch>(core_, std::move(circuit), instances, inputs);
}

EvaluatorBatch::EvaluatorBatch(std::shared_ptr<EvaluatorSession::Core> core, CircuitPtr circuit,
                               std::size_t instances, std::optional<std::span<const Word>> inputs)
    : core_(std::move(core)),
      circuit_(std::move(circuit)),
      layout_(*circuit_, instances),
      one_phase_(inputs.has_value()),
      inputs_(instances * circuit_->circuit.evaluator_words()),
      labels_(layout_.chunk_count()) {
  if (inputs) {
    require_size(inputs->size(), inputs_.size(), "shares");
    std::copy(inputs->begin(), inputs->end(), inputs_.begin());
  } else {
    // Fresh uniform words stand for the shares until these are known.
    constexpr std::size_t kStep = std::size_t{1} << 20U;
    for (std::size_t i = 0; i < inputs_.size(); i += kStep) {
      random_bytes(&inputs_[i], std::min(kStep, inputs_.size() - i) * sizeof(Word));
    }
    tables_.reserve(layout_.chunk_count());
  }
  const Exclusive exclusive(core_->busy);
  core_->require_ready();
  number_ = core_->clock.begin_batch();
  first_tweak_ = core_->clock.reserve_tweaks(layout_.tweak_count());
  outputs_.assign(instances * circuit_->circuit.evaluator_out_words(), 0);
  returned_ = SecretArray<Block>(layout_.garbler_out_bits() * instances);
}

EvaluatorBatch::~EvaluatorBatch() = default;

Header EvaluatorBatch::header(MessageType type, std::size_t chunk) const {
  return batch_header(type, number_, layout_, circuit_->circuit, chunk);
}

std::size_t EvaluatorBatch::window() const {
  return std::max<std::size_t>(1, kWindowBytes / layout_.choice_bytes(0));
}

void EvaluatorBatch::choose_chunk(Bytes choice) {
  core_->guard([&] {
    core_->choices.require(number_);
    require_size(choice.size(), layout_.choice_bytes(chosen_), "the choices' buffer");
    const std::size_t transfers = layout_.chunk_transfers(chosen_);
    SecretArray<std::uint64_t> packed(padded_transfers(transfers) / 64);
    BitPacker packer({packed.data(), packed.size()});
    const std::size_t first = layout_.chunk_first(chosen_);
    const std::size_t end = first + layout_.chunk_instances(chosen_);
    for (std::size_t at = first; at < end; at += kLanes) {
      const std::size_t lanes = std::min(kLanes, end - at);
      InputLanes inputs({inputs_.data(), inputs_.size()}, circuit_->circuit.evaluator_words(), at,
                        lanes);
      for (const InputBit& bit : layout_.evaluator_bits()) {
        packer.put(inputs.bits(bit.word, bit.bit), lanes);
      }
    }
    labels_[chosen_] = SecretArray<Block>(padded_transfers(transfers));
    write_choices(*core_, *core_->receiver, header(MessageType::Choice, chosen_), packed, transfers,
                  choice, labels_[chosen_].data());
    if (++chosen_ == layout_.chunk_count()) core_->choices.pass();
  });
}

ConstBytes EvaluatorBatch::open_tables(ConstBytes tables) const {
  return open_message(tables, header(MessageType::Tables, chunk_),
                      layout_.tables_bytes(chunk_) - kHeaderBytes);
}

void EvaluatorBatch::take_chunk(ConstBytes tables) {
  core_->guard([&] {
    core_->tables.require(number_);
    if (chunk_ >= chosen_) throw StateError("the chunk's choices were not made");
    const ConstBytes body = open_tables(tables);
    if (one_phase_) {
      evaluate_tables(chunk_, body, nullptr);
      ++evaluated_chunks_;
    } else {
      std::vector<std::vector<std::uint8_t>>& spare = core_->spare_tables;
      tables_.emplace_back();
      if (!spare.empty()) {
        tables_.back() = std::move(spare.back());
        spare.pop_back();
      }
      tables_.back().assign(body.begin(), body.end());
    }
    if (++chunk_ == layout_.chunk_count()) core_->tables.pass();
  });
}

void EvaluatorBatch::mask_shares(std::span<const Word> shares, Bytes masked) {
  core_->guard([&] {
    const Circuit& circuit = circuit_->circuit;
    if (one_phase_) throw StateError("a batch of one phase takes its shares at its start");
    if (chunk_ != layout_.chunk_count()) throw StateError("the batch is not prepared yet");
    if (masked_) throw StateError("the batch was used already");
    require_size(shares.size(), inputs_.size(), "shares");
    require_size(masked.size(), layout_.masked_bytes(), "the masked shares' buffer");
    core_->clock.consume(number_);
    masked_ = true;
    std::vector<std::uint64_t> packed(masked.size() / 8 + 2, 0);
    BitPacker packer(packed);
    std::size_t at = 0;
    for (std::size_t i = 0; i < layout_.instances(); ++i) {
      for (const InputWord& word : circuit.inputs()) {
        if (word.kind != InputKind::Evaluator) continue;
        packer.put(low_bits(shares[at] - inputs_[at], word.wires.size()), word.wires.size());
        ++at;
      }
    }
    Writer out(masked);
    out.value(header(MessageType::Masked, 0));
    const Bytes body = out.take(masked.size() - kHeaderBytes);
    std::memcpy(body.data(), packed.data(), body.size());
  });
}

void EvaluatorBatch::evaluate_chunk(ConstBytes labels) {
  core_->guard([&] {
    if (!masked_ || evaluated_chunks_ == layout_.chunk_count()) {
      throw StateError("the batch is not at its evaluation");
    }
    const std::size_t chunk = evaluated_chunks_;
    Reader reader(open_message(labels, header(MessageType::Labels, chunk),
                               layout_.labels_bytes(chunk) - kHeaderBytes));
    evaluate_tables(chunk, tables_[chunk], &reader);
    core_->spare_tables.push_back(std::move(tables_[chunk]));
    if (++evaluated_chunks_ == layout_.chunk_count()) inputs_ = {};
  });
}

void EvaluatorBatch::evaluate(ConstBytes labels) {
  for (std::size_t i = 0; i < layout_.chunk_count(); ++i) {
    const std::size_t size = std::min(layout_.labels_bytes(i), labels.size());
    const bool last = i + 1 == layout_.chunk_count();
    evaluate_chunk(last ? labels : labels.first(size));
    labels = labels.subspan(size);
  }
}

void EvaluatorBatch::evaluate_tables(std::size_t chunk, ConstBytes body, Reader* online_labels) {
  grow(core_->slots, circuit_->slot_count() * kLanes);
  grow(core_->stream, std::max(layout_.fixed_bits().size(), layout_.online_bits().size()) * kLanes);
  Reader tables(body);
  RoundKeys seed;
  core_->kernels->expand_key(tables.value<Block>(), seed);
  const std::size_t first = layout_.chunk_first(chunk);
  const std::size_t end = first + layout_.chunk_instances(chunk);
  const Block* labels = labels_[chunk].data();
  for (std::size_t at = first; at < end; at += kLanes) {
    const std::size_t lanes = std::min(kLanes, end - at);
    evaluate_block(at / kLanes, lanes, labels, seed, tables, online_labels);
    labels += lanes * layout_.evaluator_bits().size();
  }
  labels_[chunk] = {};
}

void EvaluatorBatch::evaluate_block(std::size_t block, std::size_t lanes, const Block* own_labels,
                                    const RoundKeys& seed, Reader& tables, Reader* online_labels) {
  const std::size_t stride = slot_stride(lanes);
  Block* const slots = core_->slots.data();
  for (const InputBit& bit : layout_.evaluator_bits()) {
    std::copy_n(own_labels, lanes, slots + bit.slot * stride);
    own_labels += lanes;
  }
  const auto from_stream = [&](const std::vector<InputBit>& bits, std::size_t row) {
    Block* const labels = core_->stream.data();
    const std::size_t drawn = draw_rows(*core_->kernels, seed, row, bits.size(), lanes, labels);
    for (std::size_t i = 0; i < bits.size(); ++i) {
      std::copy_n(labels + i * drawn, drawn, slots + bits[i].slot * stride);
    }
  };
  const std::size_t known = layout_.fixed_bits().size() + layout_.online_bits().size();
  const std::size_t row = block * known;
  from_stream(layout_.fixed_bits(), row);
  if (one_phase_) {
    from_stream(layout_.online_bits(), row + layout_.fixed_bits().size());
  } else {
    for (const InputBit& bit : layout_.online_bits()) {
      std::memcpy(slots + bit.slot * stride, online_labels->take(16 * lanes).data(), 16 * lanes);
    }
  }
  const std::vector<Op>& ops = circuit_->program_of(lanes).ops();
  const ConstBytes rows = tables.take(circuit_->circuit.and_count() * kTableBytes * lanes);
  const TweakRange tweaks{core_->start, first_tweak_ + layout_.gate_tweak(block),
                          layout_.instances()};
  core_->kernels->evaluate({ops.data(), ops.size(), slots, lanes, tweaks, rows.data()});
  read_outputs(block, lanes, tables);
}

void EvaluatorBatch::read_outputs(std::size_t block, std::size_t lanes, Reader& tables) {
  const Circuit& circuit = circuit_->circuit;
  const std::size_t words = circuit.evaluator_out_words();
  Block* kept = returned_.data() + block * kLanes * layout_.garbler_out_bits();
  std::size_t term = 0;
  std::size_t index = 0;
  for (std::size_t w = 0; w < circuit.outputs().size(); ++w) {
    const OutputWord& word = circuit.outputs()[w];
    const std::vector<SlotRef>& refs = circuit_->program_of(lanes).outputs()[w];
    Word* const outputs = outputs_.data() + block * kLanes * words + index;
    if (word.kind == OutputKind::Shared) {
      read_shared(word, refs, block, lanes, term, tables, outputs);
      term += refs.size();
      ++index;
      continue;
    }
    for (std::size_t bit = 0; bit < refs.size(); ++bit) {
      const Block* const labels = core_->slots.data() + refs[bit].slot * slot_stride(lanes);
      if (word.kind != OutputKind::Evaluator) kept = std::copy_n(labels, lanes, kept);
      if (word.kind == OutputKind::Garbler) continue;
      const unsigned values = unsigned{colours(labels, lanes)} ^ tables.value<LaneBits>();
      for (std::size_t i = 0; i < lanes; ++i) {
        outputs[i * words] |= Word{(values >> i) & 1U} << bit;
      }
    }
    if (word.kind != OutputKind::Garbler) ++index;
  }
}

void EvaluatorBatch::read_shared(const OutputWord& word, const std::vector<SlotRef>& refs,
                                 std::size_t block, std::size_t lanes, std::size_t first_term,
                                 Reader& tables, Word* outputs) {
  std::array<Word, kLanes> sums{};
  std::array<Block, kLanes> hashes;
  for (std::size_t t = 0; t < refs.size(); ++t) {
    const Block* const labels = core_->slots.data() + refs[t].slot * slot_stride(lanes);
    const std::size_t row_bytes = bytes_for_bits(std::size_t{word.bits} - word.terms[t].shift);
    const ConstBytes rows = tables.take(lanes * row_bytes);
    const std::uint64_t tweak = first_tweak_ + layout_.term_tweak(first_term + t, block);
    core_->kernels->hash(core_->start, tweak, labels, hashes.data(), lanes);
    for (std::size_t i = 0; i < lanes; ++i) {
      Word row = 0;
      std::memcpy(&row, rows.data() + i * row_bytes, row_bytes);
      sums[i] += (hashes[i].lo + (row & (Word{0} - labels[i].colour()))) << word.terms[t].shift;
    }
  }
  const std::size_t sum_bytes = bytes_for_bits(word.bits);
  const ConstBytes corrections = tables.take(lanes * sum_bytes);
  for (std::size_t i = 0; i < lanes; ++i) {
    Word correction = 0;
    std::memcpy(&correction, corrections.data() + i * sum_bytes, sum_bytes);
    outputs[i * circuit_->circuit.evaluator_out_words()] =
        low_bits(sums[i] - correction, word.bits);
  }
}

std::span<const Word> EvaluatorBatch::outputs() const {
  if (evaluated_chunks_ != layout_.chunk_count()) {
    throw StateError("the batch is not evaluated yet");
  }
  return outputs_;
}

void EvaluatorBatch::return_labels(Bytes out) const {
  if (evaluated_chunks_ != layout_.chunk_count()) {
    throw StateError("the batch is not evaluated yet");
  }
  require_size(out.size(), layout_.return_bytes(), "the returned labels' buffer");
  Writer writer(out);
  writer.value(header(MessageType::Return, 0));
  const Bytes body = writer.take(out.size() - kHeaderBytes);
  if (!body.empty()) std::memcpy(body.data(), returned_.data(), body.size());
}

}  // namespace capc::gc
