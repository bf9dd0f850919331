#include "chooser.hpp"

#include <algorithm>

#include "lanes.hpp"
#include "lookup_pads.hpp"

namespace capc::gc {

struct ChooserSession::Core : SessionCore {
  explicit Core(Path path) : SessionCore(path) { draw_difference(delta); }

  Secret<Block> delta;  // of the transfers back
  BaseSender base;
  BaseReceiver base_back;
  std::vector<std::uint8_t> offer;  // the message, once it is sent
  std::unique_ptr<TransferReceiver> receiver;
  std::unique_ptr<TransferSender> sender;
};

ChooserSession::ChooserSession(Path path) : core_(std::make_shared<Core>(path)) {}
ChooserSession::~ChooserSession() = default;
ChooserSession::ChooserSession(ChooserSession&&) noexcept = default;
ChooserSession& ChooserSession::operator=(ChooserSession&&) noexcept = default;

void ChooserSession::setup_offer(Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (!core_->offer.empty()) throw StateError("the session's set-up was begun already");
  Writer writer(out);
  writer.value(setup_header(MessageType::LookupOffer));
  core_->base.offer(writer.take(kPointBytes));
  core_->offer.assign(out.begin(), out.end());
}

void ChooserSession::setup_answer(ConstBytes choice, Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (core_->offer.empty() || core_->receiver || core_->failed) {
    throw StateError("the set-up is not at this point");
  }
  core_->ends_with_errors([&] {
    Reader reader(open_message(choice, setup_header(MessageType::LookupChoice),
                               kLookupChoiceBytes - kHeaderBytes));
    core_->start = reader.value<Block>();
    SecretArray<Block> zero(kBaseTransfers);
    SecretArray<Block> one(kBaseTransfers);
    core_->base.keys(core_->start, reader.take(kBaseTransfers * kPointBytes), zero, one);
    core_->transcript = setup_digest(core_->sha256, core_->offer, choice);
    Writer writer(out);
    writer.value(setup_header(MessageType::LookupAnswer));
    core_->receiver = std::make_unique<TransferReceiver>(*core_->kernels, core_->transcript, zero,
                                                         one, writer.take(kTreeMessageBytes));
    const auto session = random_value<Block>();
    writer.value(session);
    core_->base_back.choose(reader.take(kPointBytes), session,
                            TransferSender::base_choices(core_->delta.get()),
                            writer.take(kBaseTransfers * kPointBytes));
    core_->transcript = setup_digest(core_->sha256, core_->transcript, out);
  });
}

void ChooserSession::setup_finish(ConstBytes trees) {
  const Exclusive exclusive(core_->busy);
  if (!core_->receiver || core_->ready || core_->failed) {
    throw StateError("the set-up is not at this point");
  }
  core_->ends_with_errors([&] {
    const ConstBytes body =
        open_message(trees, setup_header(MessageType::LookupTrees), kTreeMessageBytes);
    SecretArray<Block> keys(kBaseTransfers);
    core_->base_back.keys(keys);
    core_->sender = std::make_unique<TransferSender>(*core_->kernels, core_->transcript,
                                                     core_->delta.get(), keys, body);
    core_->transcript = setup_digest(core_->sha256, core_->transcript, trees);
    core_->ready = true;
  });
}

std::unique_ptr<ChooserBatch> ChooserSession::prepare(const ReluPlan& plan, std::size_t instances) {
  return std::make_unique<ChooserBatch>(core_, plan, instances);
}

ChooserBatch::ChooserBatch(std::shared_ptr<ChooserSession::Core> core, const ReluPlan& plan,
                           std::size_t instances)
    : core_(std::move(core)), plan_(plan), instances_(instances) {
  require_lookups(instances);
  const Exclusive exclusive(core_->busy);
  core_->require_ready();
  number_ = core_->clock.begin_batch();
  first_tweak_ = core_->clock.reserve_tweaks(tweaks_of(plan_, instances_));
  back_pads_ = SecretArray<Word>(2 * instances_);
  nodes_ = SecretArray<NodeBits>(instances_);
  pads_ = SecretArray<Word>(instances_ * plan_.lookups());
  random_ = SecretArray<std::uint8_t>(instances_ * plan_.lookups());
  choices_ = SecretArray<std::uint8_t>(instances_ * plan_.lookups());
  outputs_ = SecretArray<Word>(instances_);
}

ChooserBatch::~ChooserBatch() = default;

Header ChooserBatch::header(MessageType type, std::size_t chunk) const {
  return lookup_header(type, number_, plan_, instances_, chunk);
}

void ChooserBatch::take_back(ConstBytes back) {
  core_->guard([&] {
    if (back_taken_) throw StateError("the batch has its transfers back already");
    back_taken_ = true;
    SecretArray<Block> labels(padded_transfers(instances_));
    read_choices(*core_, *core_->sender, header(MessageType::CorrelateBack, 0), instances_, back,
                 labels.data());
    for (std::size_t i = 0; i < instances_; ++i) {
      Secret<std::array<Block, 2>> pads;
      pads.get() = {labels[i], labels[i] ^ core_->delta.get()};
      core_->kernels->hash(core_->start, first_tweak_ + back_tweak(plan_, instances_, i),
                           pads.get().data(), pads.get().data(), 2);
      back_pads_[2 * i] = pads.get()[0].lo;
      back_pads_[2 * i + 1] = pads.get()[1].lo;
    }
  });
}

void ChooserBatch::correlate(Bytes out) {
  core_->guard([&] {
    if (!back_taken_ || chunk_ == ReluPlan::chunk_count(instances_)) {
      throw StateError("the batch is not at its correlations");
    }
    require_size(out.size(), plan_.correlate_bytes(instances_, chunk_), "the corrections' buffer");
    const std::size_t count = ReluPlan::chunk_instances(instances_, chunk_);
    const std::size_t transfers = count * plan_.transfers();
    const SecretArray<std::uint64_t> choices = random_choices(transfers);
    grow(core_->slots, padded_transfers(transfers));
    write_choices(*core_, *core_->receiver, header(MessageType::Correlate, chunk_), choices,
                  transfers, out, core_->slots.data());
    const Block* labels = core_->slots.data();
    BitUnpacker bits({choices.data(), choices.size()});
    for (std::size_t i = chunk_ * kLookupChunk; i < chunk_ * kLookupChunk + count; ++i) {
      for (const std::vector<Lookup>& step : plan_.steps()) {
        for (const Lookup& lookup : step) {
          const std::size_t at = i * plan_.lookups() + lookup.index;
          const Word choice = bits.get(lookup.choice_bits);
          Secret<Block> pad;
          pad.get() = polynomial(labels, lookup.choice_bits);
          core_->kernels->hash(core_->start, first_tweak_ + lookup_tweak(plan_, i, lookup) + choice,
                               &pad.get(), &pad.get(), 1);
          random_[at] = static_cast<std::uint8_t>(choice);
          pads_[at] = pad.get().lo;
          labels += lookup.choice_bits;
        }
      }
    }
    if (++chunk_ == ReluPlan::chunk_count(instances_)) core_->clock.end_preparation(number_);
  });
}

void ChooserBatch::begin(std::span<const Word> shares) {
  core_->guard([&] {
    if (chunk_ != ReluPlan::chunk_count(instances_)) {
      throw StateError("the batch is not prepared yet");
    }
    if (begun_) throw StateError("the batch was used already");
    require_size(shares.size(), instances_, "shares");
    core_->clock.consume(number_);
    begun_ = true;
    shares_ = SecretArray<Word>(instances_);
    for (std::size_t i = 0; i < instances_; ++i) {
      shares_[i] = low_bits(shares[i], plan_.ring_bits());
    }
  });
}

void ChooserBatch::choose(Bytes out) {
  core_->guard([&] {
    if (!begun_ || chosen_ || step_ == plan_.steps().size()) {
      throw StateError("the batch is at no step's choice");
    }
    require_size(out.size(), plan_.choose_bytes(instances_, step_), "the choices' buffer");
    std::vector<std::uint64_t> packed(out.size() / sizeof(std::uint64_t) + 2);
    BitPacker packer(packed);
    for (std::size_t i = 0; i < instances_; ++i) {
      for (const Lookup& lookup : plan_.steps()[step_]) {
        const std::size_t at = i * plan_.lookups() + lookup.index;
        choices_[at] = static_cast<std::uint8_t>(choice(lookup, i));
        packer.put(Word{choices_[at]} ^ random_[at], lookup.choice_bits);
        if (lookup.kind == Lookup::Kind::Select) {
          packer.put(back_correction(i), plan_.ring_bits());
        }
      }
    }
    write_packed(header(MessageType::Choose, step_), packed, out);
    chosen_ = true;
  });
}

void ChooserBatch::take_table(ConstBytes table) {
  core_->guard([&] {
    if (!chosen_) throw StateError("the step's choices were not made");
    const auto packed =
        packed_body(table, header(MessageType::Table, step_), plan_.table_bytes(instances_, step_));
    BitUnpacker in(packed);
    for (std::size_t i = 0; i < instances_; ++i) {
      for (const Lookup& lookup : plan_.steps()[step_]) {
        const std::size_t at = i * plan_.lookups() + lookup.index;
        Word entry = pads_[at];
        for (Word j = 0; j < Word{1} << lookup.choice_bits; ++j) {
          entry ^= in.get(lookup.message_bits) & mask_of(is_zero(j ^ choices_[at]));
        }
        keep(lookup, i, low_bits(entry, lookup.message_bits));
      }
    }
    chosen_ = false;
    ++step_;
  });
}

Word ChooserBatch::sign_share(std::size_t instance) const {
  return bit_at(shares_[instance], plan_.ring_bits() - 1) ^
         bit_at(nodes_[instance].greater, plan_.carry_node());
}

Word ChooserBatch::choice(const Lookup& lookup, std::size_t instance) const {
  switch (lookup.kind) {
    case Lookup::Kind::Leaf:
      return low_bits(~shares_[instance] >> lookup.first_bit, lookup.choice_bits);
    case Lookup::Kind::Merge:
      return merge_bits(lookup, nodes_[instance]);
    case Lookup::Kind::Select:
      break;
  }
  if (plan_.shift() == 0) return sign_share(instance);
  return sign_share(instance) | bit_at(nodes_[instance].greater, plan_.low_node()) << 1U |
         bit_at(shares_[instance], plan_.ring_bits() - 1) << 2U;
}

Word ChooserBatch::back_correction(std::size_t instance) {
  // The holder's choice c is its share of the sign, which is c ^ s. It gets (c ^ s) v - r: with
  // c = 0 its pad, which fixes r, and with c = 1 its other pad and this correction.
  const Word value = shares_[instance] >> plan_.shift();
  const Word chosen = value & mask_of(sign_share(instance));
  const Word zero = back_pads_[2 * instance];
  const Word one = back_pads_[2 * instance + 1];
  outputs_[instance] = chosen - zero;
  return low_bits(value - 2 * chosen + zero - one, plan_.ring_bits());
}

void ChooserBatch::keep(const Lookup& lookup, std::size_t instance, Word entry) {
  if (lookup.kind == Lookup::Kind::Select) {
    outputs_[instance] = low_bits(outputs_[instance] + entry, plan_.ring_bits());
    return;
  }
  NodeBits& nodes = nodes_[instance];
  Word greater = entry & 1U;
  if (lookup.kind == Lookup::Kind::Merge) {
    greater ^= bit_at(nodes.greater, lookup.children[lookup.child_count - 1]);
  }
  nodes.greater |= greater << lookup.node;
  nodes.equal |= bit_at(entry, 1) << lookup.node;
}

std::span<const Word> ChooserBatch::outputs() const {
  if (step_ != plan_.steps().size()) throw StateError("the batch is not evaluated yet");
  return {outputs_.data(), outputs_.size()};
}

}  // namespace capc::gc
