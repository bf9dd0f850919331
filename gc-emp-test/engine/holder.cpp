#include "holder.hpp"

#include <algorithm>

#include "checked_choices.hpp"
#include "lookup_pads.hpp"

namespace capc::gc {

struct HolderSession::Core : SessionCore {
  Core(Path path, const SilentParameters& silent_parameters, const TreeShape& tree_shape)
      : SessionCore(path), silent(silent_parameters), shape(tree_shape) {
    draw_difference(delta);
    multiples.get() = multiples_of(delta.get());
    start = random_value<Block>();
  }

  Secret<Block> delta;
  Secret<Multiples> multiples;
  BaseReceiver base;
  BaseSender base_back;
  bool chosen = false;
  Turn forward;
  Turn back;
  std::unique_ptr<TransferSender> sender;
  std::unique_ptr<TransferReceiver> receiver;
  SilentParameters silent;
  TreeShape shape;
  std::unique_ptr<StockSender> stock;
  std::unique_ptr<StockReceiver> stock_back;
};

HolderSession::HolderSession(Path path, const SilentParameters& silent, const TreeShape& shape)
    : core_(std::make_shared<Core>(path, silent, shape)) {}
HolderSession::~HolderSession() = default;
HolderSession::HolderSession(HolderSession&&) noexcept = default;
HolderSession& HolderSession::operator=(HolderSession&&) noexcept = default;

const TreeShape& HolderSession::shape() const { return core_->shape; }

void HolderSession::setup_choose(ConstBytes offer, Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (core_->chosen) throw StateError("the session's set-up was begun already");
  core_->chosen = true;
  core_->ends_with_errors([&] {
    const ConstBytes point = open_message(
        offer, lookup_setup_header(MessageType::LookupOffer, core_->shape), kPointBytes);
    Writer writer(out);
    writer.value(lookup_setup_header(MessageType::LookupChoice, core_->shape));
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
    Reader reader(open_message(answer, lookup_setup_header(MessageType::LookupAnswer, core_->shape),
                               lookup_answer_bytes(core_->shape) - kHeaderBytes));
    SecretArray<Block> keys(kBaseTransfers);
    core_->base.keys(keys);
    core_->sender = std::make_unique<TransferSender>(*core_->kernels, core_->shape,
                                                     core_->transcript, core_->delta.get(), keys,
                                                     reader.take(core_->shape.message_bytes()));
    const auto session = reader.value<Block>();
    SecretArray<Block> zero(kBaseTransfers);
    SecretArray<Block> one(kBaseTransfers);
    core_->base_back.keys(session, reader.take(kBaseTransfers * kPointBytes), zero, one);
    core_->transcript = setup_digest(core_->sha256, core_->transcript, answer);
    Writer writer(out);
    writer.value(lookup_setup_header(MessageType::LookupTrees, core_->shape));
    core_->receiver =
        std::make_unique<TransferReceiver>(*core_->kernels, core_->shape, core_->transcript, zero,
                                           one, writer.take(core_->shape.message_bytes()));
    core_->transcript = setup_digest(core_->sha256, core_->transcript, out);
    core_->stock = std::make_unique<StockSender>(*core_, *core_->sender, core_->delta.get(),
                                                 Direction::FromHolder, core_->silent);
    core_->stock_back = std::make_unique<StockReceiver>(*core_, *core_->receiver,
                                                        Direction::FromChooser, core_->silent);
    core_->ready = true;
  });
}

std::unique_ptr<HolderBatch> HolderSession::prepare(const LookupPlan& plan,
                                                    std::span<const Word> masks, Source source) {
  return std::make_unique<HolderBatch>(core_, plan, masks, source);
}

StockSender& HolderSession::stock() {
  core_->require_ready();
  return *core_->stock;
}

StockReceiver& HolderSession::stock_back() {
  core_->require_ready();
  return *core_->stock_back;
}

HolderBatch::HolderBatch(std::shared_ptr<HolderSession::Core> core, const LookupPlan& plan,
                         std::span<const Word> masks, Source source)
    : core_(std::move(core)),
      plan_(plan),
      source_(source),
      ahead_(plan.back_transfers(), checked_instances(masks.size())),
      bits_(plan_, Party::Holder, masks.size()),
      pads_(plan.tables(), masks.size()),
      pads_back_(plan.tables_back(), masks.size()) {
  masks_ = SecretArray<Word>(masks.size());
  std::copy(masks.begin(), masks.end(), masks_.begin());
  const Exclusive exclusive(core_->busy);
  core_->require_ready();
  number_ = core_->clock.begin_batch();
  first_tweak_ = core_->clock.reserve_tweaks(tweaks_of(plan_, instances()));
  values_ = SecretArray<Word>(instances() * plan_.inputs());
}

HolderBatch::~HolderBatch() = default;

std::size_t HolderBatch::instance_bytes(const LookupPlan& plan) {
  const std::size_t words = 2 + 2 * plan.inputs();  // mask and rest; shares and values
  return SenderPads::instance_bytes(plan.tables()) +
         ReceiverPads::instance_bytes(plan.tables_back()) + PartyBits::instance_bytes(plan) +
         words * sizeof(Word) + (plan.back_transfers() + 7) / 8;
}

Header HolderBatch::header(MessageType type, std::size_t chunk) const {
  return lookup_header(type, number_, plan_, instances(), chunk);
}

void HolderBatch::fill_back(std::size_t first, std::size_t count, const Block* labels) {
  for (std::size_t t = 0; t < plan_.back_transfers(); ++t) {
    for_each_slice(count, [&](std::size_t slice, std::size_t some) {
      const std::size_t start = slice * kSliceInstances;
      Slice bits = 0;
      core_->kernels->low_bits(labels + t * count + start, some, 1, &bits);
      ahead_.put(t, first + start, bits);
    });
  }
  pads_back_.fill(*core_, first_tweak_ + back_tweak(plan_, instances()), first, count, labels);
}

void HolderBatch::note_forward(std::size_t count) {
  forward_ += count;
  if (has_forward()) core_->forward.pass();
}

void HolderBatch::note_back(std::size_t count) {
  back_ += count;
  if (has_back()) core_->back.pass();
}

std::size_t HolderBatch::back_bytes() const { return plan_.back_bytes(instances(), core_->shape); }

void HolderBatch::correct(Bytes back) {
  core_->guard([&] {
    require_source(source_, Source::Corrections);
    core_->back.require(number_);
    require_size(back.size(), back_bytes(), "the corrections' buffer");
    const std::size_t transfers = instances() * plan_.back_transfers();
    SecretArray<Block> labels(padded_transfers(transfers));
    write_random_choices(*core_, *core_->receiver, header(MessageType::CorrelateBack, 0), transfers,
                         back, labels.data());
    fill_back(0, instances(), labels.data());
    note_back(instances());
  });
}

void HolderBatch::take_correlations(ConstBytes correlations) {
  core_->guard([&] {
    require_source(source_, Source::Corrections);
    core_->forward.require(number_);
    const std::size_t chunk = forward_ / kLookupChunk;
    const std::size_t count = LookupPlan::chunk_instances(instances(), chunk);
    const std::size_t transfers = count * plan_.transfers();
    grow(core_->slots, padded_transfers(transfers));
    read_random_choices(*core_, *core_->sender, header(MessageType::Correlate, chunk), transfers,
                        correlations, core_->slots.data());
    pads_.fill(*core_, core_->multiples.get(), first_tweak_, forward_, count, core_->slots.data());
    note_forward(count);
  });
}

void HolderBatch::draw() {
  core_->guard([&] {
    require_source(source_, Source::Stock);
    core_->forward.require(number_);
    SilentStock& stock = core_->stock->transfers();
    const std::size_t count = served(instances() - forward_, stock.available(), plan_.transfers());
    for_each_draw(count, [&](std::size_t some) {
      pads_.fill(*core_, core_->multiples.get(), first_tweak_, forward_, some,
                 stock.take(some * plan_.transfers()));
      note_forward(some);
    });
  });
}

void HolderBatch::draw_back() {
  core_->guard([&] {
    require_source(source_, Source::Stock);
    core_->back.require(number_);
    SilentStock& stock = core_->stock_back->transfers();
    const std::size_t count =
        served(instances() - back_, stock.available(), plan_.back_transfers());
    for_each_draw(count, [&](std::size_t some) {
      fill_back(back_, some, stock.take(some * plan_.back_transfers()));
      note_back(some);
    });
    rounds_ = stock.round();
  });
}

void HolderBatch::begin(std::span<const Word> shares) {
  core_->guard([&] {
    if (!is_prepared()) throw StateError("the batch is not prepared yet");
    require_proven(core_->stock_back->transfers(), rounds_);
    if (begun_) throw StateError("the batch was used already");
    const std::size_t inputs = plan_.inputs();
    require_size(shares.size(), instances() * inputs, "shares");
    core_->clock.consume(number_);
    begun_ = true;
    shares_ = SecretArray<Word>(instances() * inputs);
    rests_ = SecretArray<Word>(instances());
    for (std::size_t i = 0; i < instances(); ++i) {
      for (std::size_t k = 0; k < inputs; ++k) {
        const Word share =
            low_bits(shares[i * inputs + k] + plan_.local().added, plan_.ring_bits());
        shares_[k * instances() + i] = share;
        values_[k * instances() + i] = starting_value(plan_, share) - plan_.local().taken_off;
      }
      if (plan_.local().slope != 0) {
        rests_[i] = starting_rest(plan_, shares_[i]) - plan_.local().rest_taken_off;
      }
    }
    bits_.begin(shares_.data());
  });
}

void HolderBatch::answer(ConstBytes choose, Bytes table) {
  core_->guard([&] {
    if (!begun_ || step_ == plan_.steps().size()) throw StateError("the batch is at no step");
    require_size(table.size(), plan_.table_bytes(instances(), step_), "the table's buffer");
    const auto chosen = packed_body(choose, header(MessageType::Choose, step_),
                                    plan_.choose_bytes(instances(), step_));
    std::vector<std::uint64_t> packed(table.size() / sizeof(std::uint64_t) + 2);
    BitUnpacker in(chosen);
    BitPacker out(packed);
    for (const Lookup& lookup : plan_.steps()[step_]) {
      switch (lookup.kind) {
        case Lookup::Kind::Leaf:
        case Lookup::Kind::Merge:
        case Lookup::Kind::Final:
          answer_node(lookup, in, out);
          break;
        case Lookup::Kind::Number:
        case Lookup::Kind::Product:
          answer_number(lookup, in, out);
          break;
        case Lookup::Kind::Select:
          answer_selection(lookup, in, out);
          break;
      }
    }
    write_packed(header(MessageType::Table, step_), packed, table);
    ++step_;
  });
}

NodeEntry HolderBatch::masks_of(const Lookup& lookup, const NodeTable& table, const NodeEntry& own,
                                std::size_t slice) const {
  NodeEntry masks{};
  for (std::size_t p = 0; p < lookup.table.message_bits; ++p) masks[p] = table[p][0];
  for (std::size_t i = 0; i < lookup.result_count; ++i) {
    const NodeResult& result = lookup.results[i];
    const std::size_t plane = lookup.plane_of(i);
    if (result.bit_transfer != kNoTransfer) {
      const Slice beside = result.is_sign ? ~bits_.top(result.number, slice) : 0;
      masks[plane] = own[plane] ^ ahead_.at(result.bit_transfer, slice) ^ beside;
    }
    if (result.equal_transfer != kNoTransfer) {
      masks[plane + 1] = own[plane + 1] ^ ahead_.at(result.equal_transfer, slice);
    }
  }
  return masks;
}

void HolderBatch::answer_node(const Lookup& lookup, BitUnpacker& in, BitPacker& out) {
  const Given given = given_of(lookup);
  for_each_slice(instances(), [&](std::size_t slice, std::size_t count) {
    const Choice place = read_choice(lookup.table, count, in);
    NodeTable table = bits_.table(lookup, slice);
    NodeEntry own{};  // what this side has of the nodes before the masks
    if (lookup.has_back()) {
      const NodeTable back = read_node_table(lookup.back, {}, count, in);
      own = entry_of(lookup.back, back, bits_.choice(lookup, slice));
      add_to(own, pads_back_.bits(lookup.back, slice));
      add_to(own, bits_.added(lookup, slice));
    }
    NodeTable pads = pads_.bits(lookup.table, slice);
    for (std::size_t p = 0; p < lookup.table.message_bits; ++p) {
      move_entries(lookup.table, pads[p], place);
      add_to(table[p], pads[p]);
    }
    const NodeEntry masks = masks_of(lookup, table, own, slice);
    write_node_table(lookup.table, table, masks, given, count, out);
    add_to(own, masks);
    bits_.add(lookup, own, slice);
  });
}

std::pair<Word, Word> HolderBatch::number_entries(const Lookup& lookup, std::size_t instance,
                                                  Word own) const {
  if (lookup.kind == Lookup::Kind::Product) return {0, lookup.scale * shares_[instance]};
  const bool is_either = lookup.bits[0].kind == SharedBit::Kind::EitherTop;
  return {lookup.scale * own, lookup.scale * (is_either ? 1 : own ^ 1U)};
}

void HolderBatch::answer_number(const Lookup& lookup, BitUnpacker& in, BitPacker& out) {
  const std::size_t bits = lookup.table.message_bits;
  Word* const values = &values_[lookup.value * instances()];
  for_each_slice(instances(), [&](std::size_t slice, std::size_t count) {
    const Choice places = read_choice(lookup.table, count, in);
    const Choice choice = bits_.choice(lookup, slice);
    for (std::size_t lane = 0; lane < count; ++lane) {
      const std::size_t i = slice * kSliceInstances + lane;
      const Word place = bit_at(places[0], lane);
      const auto [zero, one] = number_entries(lookup, i, bit_at(choice[0], lane));
      const Word pad = pads_.number(lookup.table, i, place);
      // Entry 0, less this side's share, is its pad, and so need not be sent, unless the share is
      // given: what the mask lacks.
      const Word share = lookup.is_output ? masks_[i] - values[i] : zero - pad;
      if (lookup.is_output) out.put(low_bits((zero - share) ^ pad, bits), bits);
      const Word entry = (one - share) ^ pads_.number(lookup.table, i, place ^ 1U);
      out.put(low_bits(entry, bits), bits);
      values[i] += (lookup.in_value * share) << lookup.unit;
      rests_[i] += (lookup.in_rest * share) << lookup.unit;
    }
  });
}

void HolderBatch::answer_selection(const Lookup& lookup, BitUnpacker& in, BitPacker& out) {
  const std::size_t bits = lookup.table.message_bits;
  const std::size_t entries = lookup.table.entries();
  const std::size_t entries_back = lookup.back.entries();
  for_each_slice(instances(), [&](std::size_t slice, std::size_t count) {
    const Choice places = read_choice(lookup.table, count, in);
    const Choice choice = bits_.choice(lookup, slice);
    for (std::size_t lane = 0; lane < count; ++lane) {
      const std::size_t i = slice * kSliceInstances + lane;
      const Word place = choice_of(lookup.table, places, lane);
      const Word signs = choice_of(lookup.table, choice, lane);
      const Word fixed = low_bits(signs, lookup.back.choice_bits);
      Word corrections[kMaxNumberEntries] = {};
      for (Word j = 1; j < entries_back; ++j) corrections[j] = in.get(bits);
      const Word rest = pads_back_.number(lookup.back, i) +
                        chosen_of(corrections, entries_back, fixed) + rests_[i] - masks_[i];
      Word own[kMaxNumberEntries] = {};
      selected_of(lookup, &values_[i], instances(), own);
      for (Word j = 0; j < entries; ++j) own[j] += lookup.selected[j].constant;
      for (Word j = 0; j < entries; ++j) {
        const Word entry = chosen_of(own, entries, signs ^ j) + rest;
        out.put(low_bits(entry ^ pads_.number(lookup.table, i, j ^ place), bits), bits);
      }
    }
  });
}

}  // namespace capc::gc
