#include "holder.hpp"

#include <algorithm>

#include "lanes.hpp"
#include "lookup_pads.hpp"

namespace capc::gc {

struct HolderSession::Core : SessionCore {
  explicit Core(Path path) : SessionCore(path) {
    draw_difference(delta);
    multiples.get() = multiples_of(delta.get());
    start = random_value<Block>();
  }

  Secret<Block> delta;
  Secret<Multiples> multiples;
  BaseReceiver base;
  BaseSender base_back;
  bool chosen = false;
  std::unique_ptr<TransferSender> sender;
  std::unique_ptr<TransferReceiver> receiver;
};

HolderSession::HolderSession(Path path) : core_(std::make_shared<Core>(path)) {}
HolderSession::~HolderSession() = default;
HolderSession::HolderSession(HolderSession&&) noexcept = default;
HolderSession& HolderSession::operator=(HolderSession&&) noexcept = default;

void HolderSession::setup_choose(ConstBytes offer, Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (core_->chosen) throw StateError("the session's set-up was begun already");
  core_->chosen = true;
  core_->ends_with_errors([&] {
    const ConstBytes point =
        open_message(offer, setup_header(MessageType::LookupOffer), kPointBytes);
    Writer writer(out);
    writer.value(setup_header(MessageType::LookupChoice));
    writer.value(core_->start);
    core_->base.choose(point, core_->start, TransferSender::base_choices(core_->delta.get()),
                       writer.take(kBaseTransfers * kPointBytes));
    core_->base_back.offer(writer.take(kPointBytes));
    core_->transcript = setup_digest(core_->sha256, offer, out);
  });
}

void HolderSession::setup_finish(ConstBytes answer, Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (!core_->chosen || core_->failed || core_->ready) {
    throw StateError("the set-up is not at this point");
  }
  core_->ends_with_errors([&] {
    Reader reader(open_message(answer, setup_header(MessageType::LookupAnswer),
                               kLookupAnswerBytes - kHeaderBytes));
    SecretArray<Block> keys(kBaseTransfers);
    core_->base.keys(keys);
    core_->sender =
        std::make_unique<TransferSender>(*core_->kernels, core_->transcript, core_->delta.get(),
                                         keys, reader.take(kTreeMessageBytes));
    const auto session = reader.value<Block>();
    SecretArray<Block> zero(kBaseTransfers);
    SecretArray<Block> one(kBaseTransfers);
    core_->base_back.keys(session, reader.take(kBaseTransfers * kPointBytes), zero, one);
    core_->transcript = setup_digest(core_->sha256, core_->transcript, answer);
    Writer writer(out);
    writer.value(setup_header(MessageType::LookupTrees));
    core_->receiver = std::make_unique<TransferReceiver>(*core_->kernels, core_->transcript, zero,
                                                         one, writer.take(kTreeMessageBytes));
    core_->transcript = setup_digest(core_->sha256, core_->transcript, out);
    core_->ready = true;
  });
}

std::unique_ptr<HolderBatch> HolderSession::prepare(const ReluPlan& plan,
                                                    std::span<const Word> masks) {
  return std::make_unique<HolderBatch>(core_, plan, masks);
}

HolderBatch::HolderBatch(std::shared_ptr<HolderSession::Core> core, const ReluPlan& plan,
                         std::span<const Word> masks)
    : core_(std::move(core)), plan_(plan) {
  require_lookups(masks.size());
  masks_ = SecretArray<Word>(masks.size());
  std::copy(masks.begin(), masks.end(), masks_.begin());
  const Exclusive exclusive(core_->busy);
  core_->require_ready();
  number_ = core_->clock.begin_batch();
  first_tweak_ = core_->clock.reserve_tweaks(tweaks_of(plan_, instances()));
  signs_ = random_choices(instances());
  back_pads_ = SecretArray<Word>(instances());
  nodes_ = SecretArray<NodeBits>(instances());
  sums_ = SecretArray<Block>(instances() * plan_.lookups());
}

HolderBatch::~HolderBatch() = default;

Header HolderBatch::header(MessageType type, std::size_t chunk) const {
  return lookup_header(type, number_, plan_, instances(), chunk);
}

void HolderBatch::correct(Bytes back) {
  core_->guard([&] {
    if (corrected_) throw StateError("the batch was corrected already");
    require_size(back.size(), plan_.back_bytes(instances()), "the corrections' buffer");
    corrected_ = true;
    SecretArray<Block> labels(padded_transfers(instances()));
    write_choices(*core_, *core_->receiver, header(MessageType::CorrelateBack, 0), signs_,
                  instances(), back, labels.data());
    for (std::size_t i = 0; i < instances(); ++i) {
      const Word choice = bit_at(signs_[i / 64], i % 64);
      Secret<Block> pad;
      core_->kernels->hash(core_->start, first_tweak_ + back_tweak(plan_, instances(), i) + choice,
                           &labels[i], &pad.get(), 1);
      back_pads_[i] = pad.get().lo;
    }
  });
}

void HolderBatch::take_correlations(ConstBytes correlations) {
  core_->guard([&] {
    if (!corrected_ || chunk_ == ReluPlan::chunk_count(instances())) {
      throw StateError("the batch is not at its correlations");
    }
    const std::size_t count = ReluPlan::chunk_instances(instances(), chunk_);
    const std::size_t transfers = count * plan_.transfers();
    grow(core_->slots, padded_transfers(transfers));
    read_choices(*core_, *core_->sender, header(MessageType::Correlate, chunk_), transfers,
                 correlations, core_->slots.data());
    const Block* labels = core_->slots.data();
    Block* sum = &sums_[chunk_ * kLookupChunk * plan_.lookups()];
    for (std::size_t i = 0; i < count; ++i) {
      for (const std::vector<Lookup>& step : plan_.steps()) {
        for (const Lookup& lookup : step) {
          *sum++ = polynomial(labels, lookup.choice_bits);
          labels += lookup.choice_bits;
        }
      }
    }
    if (++chunk_ == ReluPlan::chunk_count(instances())) core_->clock.end_preparation(number_);
  });
}

void HolderBatch::begin(std::span<const Word> shares) {
  core_->guard([&] {
    if (chunk_ != ReluPlan::chunk_count(instances())) {
      throw StateError("the batch is not prepared yet");
    }
    if (begun_) throw StateError("the batch was used already");
    require_size(shares.size(), instances(), "shares");
    core_->clock.consume(number_);
    begun_ = true;
    shares_ = SecretArray<Word>(instances());
    for (std::size_t i = 0; i < instances(); ++i) {
      shares_[i] = low_bits(shares[i], plan_.ring_bits());
    }
  });
}

void HolderBatch::answer(ConstBytes choose, Bytes table) {
  core_->guard([&] {
    if (!begun_ || step_ == plan_.steps().size()) throw StateError("the batch is at no step");
    require_size(table.size(), plan_.table_bytes(instances(), step_), "the table's buffer");
    const auto places = packed_body(choose, header(MessageType::Choose, step_),
                                    plan_.choose_bytes(instances(), step_));
    std::vector<std::uint64_t> packed(table.size() / sizeof(std::uint64_t) + 2);
    BitUnpacker in(places);
    BitPacker out(packed);
    SecretArray<Word> noise(instances());
    random_bytes(noise.data(), instances() * sizeof(Word));
    SecretArray<Word> entries(kMaxEntries);
    SecretArray<Word> hidden(kMaxEntries);
    for (std::size_t i = 0; i < instances(); ++i) {
      for (const Lookup& lookup : plan_.steps()[step_]) {
        const std::size_t place = in.get(lookup.choice_bits);
        const bool last = lookup.kind == Lookup::Kind::Select;
        const Word back = last ? in.get(plan_.ring_bits()) : 0;
        fill(lookup, {i, noise[i], back}, entries.data());
        noise[i] >>= lookup.message_bits % 64;
        pads(lookup, i, hidden.data());
        for (std::size_t j = 0; j < std::size_t{1} << lookup.choice_bits; ++j) {
          out.put(low_bits(entries[j] ^ hidden[j ^ place], lookup.message_bits),
                  lookup.message_bits);
        }
      }
    }
    write_packed(header(MessageType::Table, step_), packed, table);
    ++step_;
  });
}

void HolderBatch::fill(const Lookup& lookup, const Row& row, Word* entries) {
  if (lookup.kind == Lookup::Kind::Select) {
    fill_selection(row, entries);
  } else {
    fill_nodes(lookup, row, entries);
  }
}

void HolderBatch::fill_nodes(const Lookup& lookup, const Row& row, Word* entries) {
  NodeBits& nodes = nodes_[row.instance];
  const std::size_t count = std::size_t{1} << lookup.choice_bits;
  Word known = 0;  // what this side adds to `greater` by itself
  if (lookup.kind == Lookup::Kind::Leaf) {
    const Word own = low_bits(shares_[row.instance] >> lookup.first_bit, lookup.choice_bits);
    for (Word j = 0; j < count; ++j) entries[j] = (j - own) >> 63U | is_zero(j ^ own) << 1U;
  } else {
    const Word own = merge_bits(lookup, nodes);
    for (Word j = 0; j < count; ++j) entries[j] = merge_value(lookup, j ^ own);
    known = bit_at(nodes.greater, lookup.children[lookup.child_count - 1]);
  }
  Word mask = row.noise;
  if (lookup.node == plan_.carry_node()) {
    // The mask is random all the same: it makes this side's share of the sign the bit that the
    // transfer back was given for its choice.
    const Word top = bit_at(shares_[row.instance], plan_.ring_bits() - 1);
    const Word sign = bit_at(signs_[row.instance / 64], row.instance % 64);
    mask = (mask & ~Word{1}) | (sign ^ top ^ known ^ 1U);
  }
  for (std::size_t j = 0; j < count; ++j) entries[j] ^= mask;
  nodes.greater |= ((mask & 1U) ^ known) << lookup.node;
  nodes.equal |= bit_at(mask, 1) << lookup.node;
}

void HolderBatch::fill_selection(const Row& row, Word* entries) const {
  const Word share = shares_[row.instance];
  const Word sign = bit_at(signs_[row.instance / 64], row.instance % 64);
  const Word top = bit_at(share, plan_.ring_bits() - 1);
  const Word rest = back_pads_[row.instance] + (row.back & mask_of(sign)) - masks_[row.instance];
  const bool drops = plan_.shift() > 0;
  const Word low = drops ? bit_at(nodes_[row.instance].greater, plan_.low_node()) : 0;
  for (Word j = 0; j < (drops ? 8U : 2U); ++j) {
    Word value = share >> plan_.shift();
    if (drops) {
      value += low ^ bit_at(j, 1);
      value -= (top | bit_at(j, 2)) << (plan_.ring_bits() - plan_.shift());
    }
    entries[j] = (value & mask_of(sign ^ j)) + rest;
  }
}

void HolderBatch::pads(const Lookup& lookup, std::size_t instance, Word* out) const {
  const std::size_t count = std::size_t{1} << lookup.choice_bits;
  const Block sum = sums_[instance * plan_.lookups() + lookup.index];
  Secret<Multiples> blocks;
  for (std::size_t j = 0; j < count; ++j) blocks.get()[j] = sum ^ core_->multiples.get()[j];
  core_->kernels->hash(core_->start, first_tweak_ + lookup_tweak(plan_, instance, lookup),
                       blocks.get().data(), blocks.get().data(), count);
  for (std::size_t j = 0; j < count; ++j) out[j] = blocks.get()[j].lo;
}

}  // namespace capc::gc
