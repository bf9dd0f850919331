#include "chooser.hpp"

#include <algorithm>

#include "checked_choices.hpp"
#include "lookup_pads.hpp"

namespace capc::gc {

struct ChooserSession::Core : SessionCore {
  Core(Path path, const SilentParameters& silent_parameters, const TreeShape& tree_shape)
      : SessionCore(path), silent(silent_parameters), shape(tree_shape) {
    draw_difference(delta);
    multiples.get() = multiples_of(delta.get());
  }

  Secret<Block> delta;  // of the transfers back
  Secret<Multiples> multiples;
  BaseSender base;
  BaseReceiver base_back;
  std::vector<std::uint8_t> offer;  // the message, once it is sent
  Turn forward;
  Turn back;
  std::unique_ptr<TransferReceiver> receiver;
  std::unique_ptr<TransferSender> sender;
  SilentParameters silent;
  TreeShape shape;
  std::unique_ptr<StockReceiver> stock;
  std::unique_ptr<StockSender> stock_back;
};

ChooserSession::ChooserSession(Path path, const SilentParameters& silent, const TreeShape& shape)
    : core_(std::make_shared<Core>(path, silent, shape)) {}
ChooserSession::~ChooserSession() = default;
ChooserSession::ChooserSession(ChooserSession&&) noexcept = default;
ChooserSession& ChooserSession::operator=(ChooserSession&&) noexcept = default;

const TreeShape& ChooserSession::shape() const { return core_->shape; }

void ChooserSession::setup_offer(Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (!core_->offer.empty()) throw StateError("the session's set-up was begun already");
  Writer writer(out);
  writer.value(lookup_setup_header(MessageType::LookupOffer, core_->shape));
  core_->base.offer(writer.take(kPointBytes));
  core_->offer.assign(out.begin(), out.end());
}

void ChooserSession::setup_answer(ConstBytes choice, Bytes out) {
  const Exclusive exclusive(core_->busy);
  if (core_->offer.empty() || core_->receiver || core_->failed) {
    throw StateError("the set-up is not at this point");
  }
  core_->ends_with_errors([&] {
    Reader reader(open_message(choice, lookup_setup_header(MessageType::LookupChoice, core_->shape),
                               kLookupChoiceBytes - kHeaderBytes));
    core_->start = reader.value<Block>();
    SecretArray<Block> zero(kBaseTransfers);
    SecretArray<Block> one(kBaseTransfers);
    core_->base.keys(core_->start, reader.take(kBaseTransfers * kPointBytes), zero, one);
    core_->transcript = setup_digest(core_->sha256, core_->offer, choice);
    Writer writer(out);
    writer.value(lookup_setup_header(MessageType::LookupAnswer, core_->shape));
    core_->receiver =
        std::make_unique<TransferReceiver>(*core_->kernels, core_->shape, core_->transcript, zero,
                                           one, writer.take(core_->shape.message_bytes()));
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
        open_message(trees, lookup_setup_header(MessageType::LookupTrees, core_->shape),
                     core_->shape.message_bytes());
    SecretArray<Block> keys(kBaseTransfers);
    core_->base_back.keys(keys);
    core_->sender = std::make_unique<TransferSender>(
        *core_->kernels, core_->shape, core_->transcript, core_->delta.get(), keys, body);
    core_->transcript = setup_digest(core_->sha256, core_->transcript, trees);
    core_->stock = std::make_unique<StockReceiver>(*core_, *core_->receiver, Direction::FromHolder,
                                                   core_->silent);
    core_->stock_back = std::make_unique<StockSender>(*core_, *core_->sender, core_->delta.get(),
                                                      Direction::FromChooser, core_->silent);
    core_->ready = true;
  });
}

std::unique_ptr<ChooserBatch> ChooserSession::prepare(const LookupPlan& plan, std::size_t instances,
                                                      Source source) {
  return std::make_unique<ChooserBatch>(core_, plan, instances, source);
}

StockReceiver& ChooserSession::stock() {
  core_->require_ready();
  return *core_->stock;
}

StockSender& ChooserSession::stock_back() {
  core_->require_ready();
  return *core_->stock_back;
}

ChooserBatch::ChooserBatch(std::shared_ptr<ChooserSession::Core> core, const LookupPlan& plan,
                           std::size_t instances, Source source)
    : core_(std::move(core)),
      plan_(plan),
      instances_(checked_instances(instances)),
      source_(source),
      bits_(plan_, Party::Chooser, instances),
      pads_(plan.tables(), instances),
      pads_back_(plan.tables_back(), instances) {
  const Exclusive exclusive(core_->busy);
  core_->require_ready();
  number_ = core_->clock.begin_batch();
  first_tweak_ = core_->clock.reserve_tweaks(tweaks_of(plan_, instances_));
  values_ = SecretArray<Word>(instances_ * plan_.inputs());
}

ChooserBatch::~ChooserBatch() = default;

Header ChooserBatch::header(MessageType type, std::size_t chunk) const {
  return lookup_header(type, number_, plan_, instances_, chunk);
}

std::size_t ChooserBatch::chunks_done() const {
  return has_forward() ? LookupPlan::chunk_count(instances_) : forward_ / kLookupChunk;
}

void ChooserBatch::note_forward(std::size_t count) {
  forward_ += count;
  if (has_forward()) core_->forward.pass();
}

void ChooserBatch::note_back(std::size_t count) {
  back_ += count;
  if (has_back()) core_->back.pass();
}

void ChooserBatch::take_back(ConstBytes back) {
  core_->guard([&] {
    require_source(source_, Source::Corrections);
    core_->back.require(number_);
    const std::size_t transfers = instances_ * plan_.back_transfers();
    SecretArray<Block> labels(padded_transfers(transfers));
    read_random_choices(*core_, *core_->sender, header(MessageType::CorrelateBack, 0), transfers,
                        back, labels.data());
    pads_back_.fill(*core_, core_->multiples.get(), first_tweak_ + back_tweak(plan_, instances_), 0,
                    instances_, labels.data());
    note_back(instances_);
  });
}

std::size_t ChooserBatch::correlate_bytes() const {
  return plan_.correlate_bytes(instances_, chunks_done(), core_->shape);
}

void ChooserBatch::correlate(Bytes out) {
  core_->guard([&] {
    require_source(source_, Source::Corrections);
    core_->forward.require(number_);
    const std::size_t chunk = chunks_done();
    require_size(out.size(), correlate_bytes(), "the corrections' buffer");
    const std::size_t count = LookupPlan::chunk_instances(instances_, chunk);
    const std::size_t transfers = count * plan_.transfers();
    grow(core_->slots, padded_transfers(transfers));
    write_random_choices(*core_, *core_->receiver, header(MessageType::Correlate, chunk), transfers,
                         out, core_->slots.data());
    pads_.fill(*core_, first_tweak_, forward_, count, core_->slots.data());
    note_forward(count);
  });
}

void ChooserBatch::draw() {
  core_->guard([&] {
    require_source(source_, Source::Stock);
    core_->forward.require(number_);
    SilentStock& stock = core_->stock->transfers();
    const std::size_t count = served(instances_ - forward_, stock.available(), plan_.transfers());
    for_each_draw(count, [&](std::size_t some) {
      pads_.fill(*core_, first_tweak_, forward_, some, stock.take(some * plan_.transfers()));
      note_forward(some);
    });
    rounds_ = stock.round();
  });
}

void ChooserBatch::draw_back() {
  core_->guard([&] {
    require_source(source_, Source::Stock);
    core_->back.require(number_);
    SilentStock& stock = core_->stock_back->transfers();
    const std::size_t count = served(instances_ - back_, stock.available(), plan_.back_transfers());
    for_each_draw(count, [&](std::size_t some) {
      pads_back_.fill(*core_, core_->multiples.get(), first_tweak_ + back_tweak(plan_, instances_),
                      back_, some, stock.take(some * plan_.back_transfers()));
      note_back(some);
    });
  });
}

void ChooserBatch::begin(std::span<const Word> shares) {
  core_->guard([&] {
    if (!is_prepared()) throw StateError("the batch is not prepared yet");
    require_proven(core_->stock->transfers(), rounds_);
    if (begun_) throw StateError("the batch was used already");
    const std::size_t inputs = plan_.inputs();
    require_size(shares.size(), instances_ * inputs, "shares");
    core_->clock.consume(number_);
    begun_ = true;
    SecretArray<Word> own(instances_ * inputs);
    rests_ = SecretArray<Word>(instances_);
    for (std::size_t i = 0; i < instances_; ++i) {
      for (std::size_t k = 0; k < inputs; ++k) {
        const Word share = low_bits(shares[i * inputs + k], plan_.ring_bits());
        own[k * instances_ + i] = share;
        values_[k * instances_ + i] = starting_value(plan_, share);
      }
      if (plan_.local().slope != 0) rests_[i] = starting_rest(plan_, own[i]);
    }
    bits_.begin(own.data());
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
    for (const Lookup& lookup : plan_.steps()[step_]) choose_entries(lookup, packer);
    write_packed(header(MessageType::Choose, step_), packed, out);
    chosen_ = true;
  });
}

void ChooserBatch::choose_entries(const Lookup& lookup, BitPacker& out) {
  for_each_slice(instances_, [&](std::size_t slice, std::size_t count) {
    const Choice choice = bits_.choice(lookup, slice);
    Choice place = choice;
    add_to(place, pads_.choice(lookup.table, slice));
    write_choice(lookup.table, place, count, out);
    if (!lookup.has_back()) return;
    if (lookup.is_node()) return write_joined_back(lookup, slice, count, out);
    for (std::size_t lane = 0; lane < count; ++lane) {
      write_selection_back(lookup, slice * kSliceInstances + lane,
                           choice_of(lookup.table, choice, lane), out);
    }
  });
}

void ChooserBatch::take_table(ConstBytes table) {
  core_->guard([&] {
    if (!chosen_) throw StateError("the step's choices were not made");
    const auto packed =
        packed_body(table, header(MessageType::Table, step_), plan_.table_bytes(instances_, step_));
    BitUnpacker in(packed);
    for (const Lookup& lookup : plan_.steps()[step_]) read_entries(lookup, in);
    chosen_ = false;
    ++step_;
  });
}

void ChooserBatch::read_entries(const Lookup& lookup, BitUnpacker& in) {
  if (lookup.is_node()) {
    read_nodes(lookup, in);
  } else {
    read_numbers(lookup, in);
  }
}

void ChooserBatch::read_nodes(const Lookup& lookup, BitUnpacker& in) {
  const Given given = given_of(lookup);
  for_each_slice(instances_, [&](std::size_t slice, std::size_t count) {
    const NodeTable table = read_node_table(lookup.table, given, count, in);
    NodeEntry entry = entry_of(lookup.table, table, bits_.choice(lookup, slice));
    add_to(entry, pads_.bits(lookup.table, slice));
    bits_.add(lookup, entry, slice);
  });
}

void ChooserBatch::read_numbers(const Lookup& lookup, BitUnpacker& in) {
  const std::size_t bits = lookup.table.message_bits;
  const std::size_t entries = lookup.table.entries();
  Word* const values = &values_[lookup.value * instances_];
  for_each_slice(instances_, [&](std::size_t slice, std::size_t count) {
    const Choice choice = bits_.choice(lookup, slice);
    for (std::size_t lane = 0; lane < count; ++lane) {
      const std::size_t i = slice * kSliceInstances + lane;
      Word messages[kMaxNumberEntries] = {};  // entry 0 is the pad alone, but in the last look-up
      for (std::size_t j = lookup.is_output ? 0 : 1; j < entries; ++j) messages[j] = in.get(bits);
      const Word message = chosen_of(messages, entries, choice_of(lookup.table, choice, lane));
      const Word share = low_bits(message ^ pads_.number(lookup.table, i), bits);
      values[i] += (lookup.in_value * share) << lookup.unit;
      rests_[i] += (lookup.in_rest * share) << lookup.unit;
      if (lookup.is_output) values[i] = low_bits(values[i], plan_.output_bits());
    }
  });
}

void ChooserBatch::write_joined_back(const Lookup& lookup, std::size_t slice, std::size_t count,
                                     BitPacker& out) {
  NodeTable table = bits_.table(lookup, slice);
  const NodeTable pads = pads_back_.bits(lookup.back, slice);
  NodeEntry masks{};  // so that entry 0 need not be sent
  for (std::size_t p = 0; p < lookup.back.message_bits; ++p) {
    add_to(table[p], pads[p]);
    masks[p] = table[p][0];
  }
  write_node_table(lookup.back, table, masks, {}, count, out);
  add_to(masks, bits_.added(lookup, slice));
  bits_.add(lookup, masks, slice);
}

void ChooserBatch::write_selection_back(const Lookup& select, std::size_t instance, Word signs,
                                        BitPacker& out) {
  // The holder's choice c is its share of the signs, which are c ^ s. It gets what they select of
  // this side's values, less r: with c = 0 its pad, which fixes r, else its other pad and a
  // correction.
  const std::size_t bits = select.back.message_bits;
  Word own[kMaxNumberEntries] = {};
  selected_of(select, &values_[instance], instances_, own);
  const auto selected = [&](Word j) { return chosen_of(own, select.table.entries(), signs ^ j); };
  const Word rest = selected(0) - pads_back_.number(select.back, instance, 0);
  for (Word j = 1; j < select.back.entries(); ++j) {
    const Word correction = selected(j) - rest - pads_back_.number(select.back, instance, j);
    out.put(low_bits(correction, bits), bits);
  }
  values_[instance] = rest + rests_[instance];
}

std::span<const Word> ChooserBatch::outputs() const {
  if (step_ != plan_.steps().size()) throw StateError("the batch is not evaluated yet");
  return {values_.data(), instances_};
}

}  // namespace capc::gc
