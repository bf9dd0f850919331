#include "garbler.hpp"

#include <algorithm>
#include <cstring>

#include "checked_choices.hpp"
#include "session_core.hpp"

namespace capc::gc {

struct GarblerSession::Core : SessionCore {
  explicit Core(Path path) : SessionCore(path) {
    draw_difference(delta);
    start = random_value<Block>();
  }

  Secret<Block> delta;
  std::unique_ptr<BaseReceiver> base = std::make_unique<BaseReceiver>();
  SecretArray<Block> base_keys;
  bool chosen = false;
  Turn turn;
  std::unique_ptr<TransferSender> sender;
  SecretArray<Block> labels;
};

namespace {

[[nodiscard]] SecretArray<Word> copy_words(std::span<const Word> words) {
  SecretArray<Word> copy(words.size());
  std::copy(words.begin(), words.end(), copy.begin());
  return copy;
}

[[nodiscard]] std::span<const Word> view(const SecretArray<Word>& words) {
  return {words.data(), words.size()};
}

}  // namespace

GarblerSession::GarblerSession(Path path) : core_(std::make_shared<Core>(path)) {}
GarblerSession::~GarblerSession() = default;
GarblerSession::GarblerSession(GarblerSession&&) noexcept = default;
GarblerSession& GarblerSession::operator=(GarblerSession&&) noexcept = default;

void GarblerSession::setup_choose(ConstBytes offer, Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (core_->chosen) throw StateError("the session's set-up was begun already");
  core_->chosen = true;
  core_->ends_with_errors([&] {
    const ConstBytes point =
        open_message(offer, setup_header(MessageType::SetupOffer), kPointBytes);
    Writer writer(out);
    writer.value(setup_header(MessageType::SetupChoice));
    writer.value(core_->start);
    core_->base->choose(point, core_->start, TransferSender::base_choices(core_->delta.get()),
                        writer.take(kBaseTransfers * kPointBytes));
    core_->transcript = setup_digest(core_->sha256, offer, out);
  });
}

void GarblerSession::setup_keys() {
  const Exclusive exclusive(core_->busy);
  if (!core_->chosen || core_->failed) throw StateError("the session's set-up is not begun");
  if (!core_->base) return;
  core_->base_keys = SecretArray<Block>(kBaseTransfers);
  core_->base->keys(core_->base_keys);
  core_->base.reset();
}

void GarblerSession::setup_finish(ConstBytes trees) {
  setup_keys();
  const Exclusive exclusive(core_->busy);
  const SecretArray<Block> keys = std::move(core_->base_keys);
  if (keys.size() == 0) throw StateError("the session's set-up is finished already");
  core_->ends_with_errors([&] {
    const ConstBytes body =
        open_message(trees, setup_header(MessageType::SetupTrees), kShallowTrees.message_bytes());
    core_->sender = std::make_unique<TransferSender>(
        *core_->kernels, kShallowTrees, core_->transcript, core_->delta.get(), keys, body);
    core_->transcript = setup_digest(core_->sha256, core_->transcript, trees);
    core_->ready = true;
  });
}

std::unique_ptr<GarblerBatch> GarblerSession::prepare(CircuitPtr circuit, std::size_t instances,
                                                      std::span<const Word> fixed) {
  require_two_phases(*circuit);
  return std::make_unique<GarblerBatch>(core_, std::move(circuit), instances, fixed, std::nullopt);
}

std::unique_ptr<GarblerBatch> GarblerSession::run(CircuitPtr circuit, std::size_t instances,
                                                  std::span<const Word> online,
                                                  std::span<const Word> fixed) {
  return std::make_unique<GarblerBatch>(core_, std::move(circuit), instances, fixed, online);
}

GarblerBatch::GarblerBatch(std::shared_ptr<GarblerSession::Core> core, CircuitPtr circuit,
                           std::size_t instances, std::span<const Word> fixed,
                           std::optional<std::span<const Word>> online)
    : core_(std::move(core)),
      circuit_(std::move(circuit)),
      layout_(*circuit_, instances),
      one_phase_(online.has_value()) {
  require_size(fixed.size(), instances * circuit_->circuit.fixed_words(), "fixed");
  if (online) {
    require_size(online->size(), instances * circuit_->circuit.online_words(), "shares");
    online_ = copy_words(*online);
  }
  fixed_ = copy_words(fixed);
  const Exclusive exclusive(core_->busy);
  core_->require_ready();
  number_ = core_->clock.begin_batch();
  first_tweak_ = core_->clock.reserve_tweaks(layout_.tweak_count());
  if (!one_phase_) {
    online_key_ = SecretArray<RoundKeys>(1);
    Secret<Block> key;
    random_bytes(&key.get(), sizeof(Block));
    core_->kernels->expand_key(key.get(), online_key_[0]);
  }
  output_labels_ = SecretArray<Block>(layout_.garbler_out_bits() * layout_.instances());
}

GarblerBatch::~GarblerBatch() = default;

Header GarblerBatch::header(MessageType type, std::size_t chunk) const {
  return batch_header(type, number_, layout_, circuit_->circuit, chunk);
}

void GarblerBatch::garble_chunk(ConstBytes choice, Bytes tables) {
  core_->guard([&] {
    core_->turn.require(number_);
    require_size(tables.size(), layout_.tables_bytes(chunk_), "the tables' buffer");
    const std::size_t transfers = layout_.chunk_transfers(chunk_);
    grow(core_->labels, padded_transfers(transfers));
    // Before anything of this chunk is made: a peer whose choices do not fit gets nothing.
    read_choices(*core_, *core_->sender, header(MessageType::Choice, chunk_), transfers, choice,
                 core_->labels.data());
    grow(core_->slots, circuit_->slot_count() * kLanes);
    grow(core_->stream,
         std::max(layout_.fixed_bits().size(), layout_.online_bits().size()) * kLanes);

    Writer out(tables);
    out.value(header(MessageType::Tables, chunk_));
    const auto seed = random_value<Block>();
    out.value(seed);
    Secret<RoundKeys> seed_keys;
    core_->kernels->expand_key(seed, seed_keys.get());
    const std::size_t first = layout_.chunk_first(chunk_);
    const std::size_t end = first + layout_.chunk_instances(chunk_);
    const Block* labels = core_->labels.data();
    for (std::size_t at = first; at < end; at += kLanes) {
      const std::size_t lanes = std::min(kLanes, end - at);
      garble_block(at / kLanes, lanes, labels, seed_keys.get(), out);
      labels += lanes * layout_.evaluator_bits().size();
    }
    if (++chunk_ == layout_.chunk_count()) {
      core_->turn.pass();
      fixed_ = {};
      online_ = {};
    }
  });
}

void GarblerBatch::garble_block(std::size_t block, std::size_t lanes, const Block* evaluator_labels,
                                const RoundKeys& seed, Writer& out) {
  const Block delta = core_->delta.get();
  const std::size_t first = block * kLanes;
  const std::size_t stride = slot_stride(lanes);
  Block* const slots = core_->slots.data();
  for (const InputBit& bit : layout_.evaluator_bits()) {
    std::copy_n(evaluator_labels, lanes, slots + bit.slot * stride);
    evaluator_labels += lanes;
  }
  // Active labels of the garbler's known bits are a public stream: only it knows the zero labels.
  const auto from_stream = [&](const std::vector<InputBit>& bits, std::span<const Word> words,
                               std::size_t word_count, std::size_t row) {
    Block* const labels = core_->stream.data();
    const std::size_t drawn = draw_rows(*core_->kernels, seed, row, bits.size(), lanes, labels);
    InputLanes inputs(words, word_count, first, lanes);
    for (std::size_t i = 0; i < bits.size(); ++i) {
      offset_labels(labels + i * drawn, inputs.bits(bits[i].word, bits[i].bit), delta, drawn,
                    slots + bits[i].slot * stride);
    }
  };
  const std::size_t known = layout_.fixed_bits().size() + layout_.online_bits().size();
  const std::size_t row = block * known;
  from_stream(layout_.fixed_bits(), view(fixed_), circuit_->circuit.fixed_words(), row);
  if (one_phase_) {
    from_stream(layout_.online_bits(), view(online_), circuit_->circuit.online_words(),
                row + layout_.fixed_bits().size());
  } else {
    const std::size_t count = layout_.online_bits().size();
    Block* const labels = core_->stream.data();
    const std::size_t drawn =
        draw_rows(*core_->kernels, online_key_[0], block * count, count, lanes, labels);
    for (std::size_t i = 0; i < count; ++i) {
      std::copy_n(labels + i * drawn, drawn, slots + layout_.online_bits()[i].slot * stride);
    }
  }
  const Circuit& circuit = circuit_->circuit;
  const std::vector<Op>& ops = circuit_->program_of(lanes).ops();
  const Bytes tables = out.take(circuit.and_count() * kTableBytes * lanes);
  const TweakRange tweaks{core_->start, first_tweak_ + layout_.gate_tweak(block),
                          layout_.instances()};
  core_->kernels->garble({ops.data(), ops.size(), slots, lanes, delta, tweaks, tables.data()});
  write_outputs(block, lanes, out);
}

void GarblerBatch::write_outputs(std::size_t block, std::size_t lanes, Writer& out) {
  const Circuit& circuit = circuit_->circuit;
  Block* kept = output_labels_.data() + block * kLanes * layout_.garbler_out_bits();
  std::size_t mask = circuit.fixed_input_words();
  std::size_t term = 0;
  for (std::size_t w = 0; w < circuit.outputs().size(); ++w) {
    const OutputWord& word = circuit.outputs()[w];
    const std::vector<SlotRef>& refs = circuit_->program_of(lanes).outputs()[w];
    if (word.kind == OutputKind::Shared) {
      write_shared(word, refs, block, lanes, term, mask++, out);
      term += refs.size();
      continue;
    }
    const unsigned lane_mask = (1U << lanes) - 1;
    for (const SlotRef& ref : refs) {
      const Block* const labels = core_->slots.data() + ref.slot * slot_stride(lanes);
      if (word.kind != OutputKind::Evaluator) {
        const Block flip = select(ref.invert, core_->delta.get());
        for (std::size_t i = 0; i < lanes; ++i) *kept++ = labels[i] ^ flip;
      }
      if (word.kind != OutputKind::Garbler) {
        const LaneBits colour = colours(labels, lanes);
        out.value(static_cast<LaneBits>(colour ^ (ref.invert ? lane_mask : 0U)));
      }
    }
  }
}

void GarblerBatch::write_shared(const OutputWord& word, const std::vector<SlotRef>& refs,
                                std::size_t block, std::size_t lanes, std::size_t first_term,
                                std::size_t mask, Writer& out) {
  const Block delta = core_->delta.get();
  std::array<Word, kLanes> sums{};
  Secret<std::array<Block, 4 * kLanes>> scratch;
  Block* const zero = scratch.get().data();
  Block* const one = zero + kLanes;
  Block* const hash_zero = one + kLanes;
  Block* const hash_one = hash_zero + kLanes;
  for (std::size_t t = 0; t < refs.size(); ++t) {
    const SharedTerm& term = word.terms[t];
    const std::size_t width = std::size_t{word.bits} - term.shift;
    const std::size_t row_bytes = bytes_for_bits(width);
    const Bytes rows = out.take(lanes * row_bytes);
    for (std::size_t i = 0; i < lanes; ++i) {
      zero[i] = core_->slots[refs[t].slot * slot_stride(lanes) + i] ^ select(refs[t].invert, delta);
      one[i] = zero[i] ^ delta;
    }
    const std::uint64_t tweak = first_tweak_ + layout_.term_tweak(first_term + t, block);
    core_->kernels->hash(core_->start, tweak, zero, hash_zero, lanes);
    core_->kernels->hash(core_->start, tweak, one, hash_one, lanes);
    const Word weight = term.negative ? ~Word{0} : Word{1};
    for (std::size_t i = 0; i < lanes; ++i) {
      // `first` is the hash of the label of colour 0, to which the evaluator adds no row.
      const Word permuted = Word{0} - zero[i].colour();
      const Word flip = (hash_zero[i].lo ^ hash_one[i].lo) & permuted;
      const Word first = hash_zero[i].lo ^ flip;
      const Word second = hash_one[i].lo ^ flip;
      const Word step = (weight ^ permuted) - permuted;
      const Word row = low_bits(first - second + step, width);
      std::memcpy(rows.data() + i * row_bytes, &row, row_bytes);
      sums[i] += (first - (weight & permuted)) << term.shift;
    }
  }
  const std::size_t sum_bytes = bytes_for_bits(word.bits);
  const Bytes corrections = out.take(lanes * sum_bytes);
  for (std::size_t i = 0; i < lanes; ++i) {
    const Word chosen = fixed_[(block * kLanes + i) * circuit_->circuit.fixed_words() + mask];
    const Word correction = low_bits(sums[i] + chosen, word.bits);
    std::memcpy(corrections.data() + i * sum_bytes, &correction, sum_bytes);
  }
  wipe(sums.data(), sizeof sums);
}

void GarblerBatch::take_masked(ConstBytes masked, std::span<const Word> shares) {
  core_->guard([&] {
    const Circuit& circuit = circuit_->circuit;
    if (one_phase_) throw StateError("a batch of one phase takes its shares at its start");
    if (chunk_ != layout_.chunk_count()) throw StateError("the batch is not garbled yet");
    require_size(shares.size(), layout_.instances() * circuit.online_words(), "shares");
    core_->clock.consume(number_);
    labelled_ = true;
    const ConstBytes packed =
        open_message(masked, header(MessageType::Masked, 0), layout_.masked_bytes() - kHeaderBytes);
    std::vector<std::uint64_t> words(packed.size() / 8 + 2);
    std::memcpy(words.data(), packed.data(), packed.size());
    BitUnpacker unpacker(words);
    std::vector<Word> differences(circuit.evaluator_words());
    online_ = SecretArray<Word>(shares.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < layout_.instances(); ++i) {
      std::size_t evaluator = 0;
      for (const InputWord& word : circuit.inputs()) {
        if (word.kind == InputKind::Evaluator) {
          differences[evaluator++] = unpacker.get(word.wires.size());
        }
      }
      for (const InputWord& word : circuit.inputs()) {
        if (word.kind != InputKind::GarblerOnline) continue;
        online_[at] = shares[at] + differences[static_cast<std::size_t>(word.partner)];
        ++at;
      }
    }
  });
}

void GarblerBatch::label_chunk(Bytes labels) {
  core_->guard([&] {
    if (!labelled_ || labelled_chunks_ == layout_.chunk_count()) {
      throw StateError("the batch has no labels to send at this point");
    }
    require_size(labels.size(), layout_.labels_bytes(labelled_chunks_), "the labels' buffer");
    Writer out(labels);
    out.value(header(MessageType::Labels, labelled_chunks_));
    const std::size_t count = layout_.online_bits().size();
    grow(core_->stream, count * kLanes);
    Secret<std::array<Block, kLanes>> row;
    const std::size_t first = layout_.chunk_first(labelled_chunks_);
    const std::size_t end = first + layout_.chunk_instances(labelled_chunks_);
    for (std::size_t at = first; at < end; at += kLanes) {
      const std::size_t lanes = std::min(kLanes, end - at);
      const std::size_t drawn = draw_rows(*core_->kernels, online_key_[0], at / kLanes * count,
                                          count, lanes, core_->stream.data());
      InputLanes inputs(view(online_), circuit_->circuit.online_words(), at, lanes);
      for (std::size_t i = 0; i < count; ++i) {
        const InputBit& bit = layout_.online_bits()[i];
        offset_labels(core_->stream.data() + i * drawn, inputs.bits(bit.word, bit.bit),
                      core_->delta.get(), drawn, row.get().data());
        std::memcpy(out.take(16 * lanes).data(), row.get().data(), 16 * lanes);
      }
    }
    if (++labelled_chunks_ == layout_.chunk_count()) {
      online_key_ = {};
      online_ = {};
    }
  });
}

void GarblerBatch::label_shares(ConstBytes masked, std::span<const Word> shares, Bytes labels) {
  require_size(labels.size(), layout_.labels_bytes(), "the labels' buffer");
  take_masked(masked, shares);
  for (std::size_t i = 0; i < layout_.chunk_count(); ++i) {
    label_chunk(labels.first(layout_.labels_bytes(i)));
    labels = labels.subspan(layout_.labels_bytes(i));
  }
}

void GarblerBatch::decode(ConstBytes returned, std::span<Word> outputs) {
  core_->guard([&] {
    const Circuit& circuit = circuit_->circuit;
    if (decoded_ || chunk_ != layout_.chunk_count() ||
        (!one_phase_ && labelled_chunks_ != chunk_)) {
      throw StateError("the batch has no outputs to decode at this point");
    }
    require_size(outputs.size(), layout_.instances() * circuit.garbler_out_words(), "outputs");
    decoded_ = true;
    Reader reader(open_message(returned, header(MessageType::Return, 0),
                               layout_.return_bytes() - kHeaderBytes));
    std::fill(outputs.begin(), outputs.end(), Word{0});
    if (!decode_labels(reader, outputs)) {
      std::fill(outputs.begin(), outputs.end(), Word{0});
      throw ProtocolError("the peer returned a label that no output has");
    }
  });
}

bool GarblerBatch::decode_labels(Reader& returned, std::span<Word> outputs) const {
  const std::size_t words = circuit_->circuit.garbler_out_words();
  const Block delta = core_->delta.get();
  const Block* zero_label = output_labels_.data();
  std::uint64_t wrong = 0;
  for (std::size_t first = 0; first < layout_.instances(); first += kLanes) {
    const std::size_t lanes = std::min(kLanes, layout_.instances() - first);
    std::size_t index = 0;
    for (const OutputWord& word : circuit_->circuit.outputs()) {
      if (word.kind != OutputKind::Garbler && word.kind != OutputKind::Both) continue;
      for (std::size_t bit = 0; bit < word.bits; ++bit) {
        for (std::size_t i = 0; i < lanes; ++i) {
          // Nothing (the label of 0) or the difference (that of 1), whose colour is 1.
          const Block change = returned.value<Block>() ^ *zero_label++;
          const Word value = change.colour();
          const Block rest = change ^ select(value, delta);
          wrong |= rest.lo | rest.hi;
          outputs[(first + i) * words + index] |= value << bit;
        }
      }
      ++index;
    }
  }
  return wrong == 0;
}

}  // namespace capc::gc
