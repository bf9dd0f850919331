#include "transfers.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "checked_choices.hpp"
#include "lookups.hpp"

namespace capc::gc::bench {
namespace {

constexpr double kMillion = 1e6;
constexpr std::size_t kMessageTransfers = std::size_t{1} << 17;
constexpr std::size_t kMessages = 8;

[[nodiscard]] Options fewer(const Options& options) {
  Options few = options;
  few.repeat = std::max<std::size_t>(3, options.repeat / 10);
  return few;
}

/// The row of a million transfers, from samples of `transfers`.
void report_million(const char* name, const Options& options, Samples samples,
                    std::size_t transfers, const char* what) {
  const double scale = kMillion / static_cast<double>(transfers);
  for (double& seconds : samples.seconds) seconds *= scale;
  for (double& seconds : samples.processor_seconds) seconds *= scale;
  for (std::uint64_t* bytes : {&samples.from_garbler, &samples.from_evaluator}) {
    *bytes = static_cast<std::uint64_t>(static_cast<double>(*bytes) * scale);
  }
  char note[160];
  std::snprintf(note, sizeof note,
                "a million transfers; %s; %zu a run; %.1f million/s; %.2f bytes each", what,
                transfers, 1 / quantile(samples.seconds, 0.5),
                static_cast<double>(samples.from_garbler + samples.from_evaluator) / kMillion);
  report(name, options, samples, note);
}

/// Base transfers that were done before: both processes know all of it, which only a benchmark may.
struct BaseTransfers {
  BaseTransfers() : zero(kBaseTransfers), one(kBaseTransfers), chosen(kBaseTransfers) {
    random_bytes(zero.data(), zero.size() * sizeof(Block));
    random_bytes(one.data(), one.size() * sizeof(Block));
    draw_difference(delta);
    const Block choices = TransferSender::base_choices(delta.get());
    for (std::size_t i = 0; i < kBaseTransfers; ++i) {
      const std::uint64_t word = i < 64 ? choices.lo : choices.hi;
      chosen[i] = (word >> (i % 64) & 1U) != 0 ? one[i] : zero[i];
    }
  }
  SecretArray<Block> zero, one, chosen;
  Secret<Block> delta;
};

/// The evaluator's clock stops when the garbler, too, has what it made.
void acknowledge(Connection& connection) { connection.send(Message(1)); }
void await(Connection& connection) { (void)connection.receive(1); }

/// One end of the extension, and what it fills.
template <class End>
struct Extension {
  Extension(Path path, const TreeShape& shape)
      : core(path),
        labels(kMessages * padded_transfers(kMessageTransfers)),
        message(kHeaderBytes + choice_body_bytes(kMessageTransfers, shape)) {}

  SessionCore core;
  std::unique_ptr<End> end;
  SecretArray<Block> labels;
  Message message;
};

void corrections(const char* name, const TreeShape& shape, const Options& options) {
  const Options few = fewer(options);
  const BaseTransfers base;
  const Header header = setup_header(MessageType::StockSeeds);
  const Samples samples = measure(
      few,
      [&](Connection& connection) {
        auto sender = std::make_shared<Extension<TransferSender>>(options.path, shape);
        const Message trees = connection.receive(shape.message_bytes());
        sender->end =
            std::make_unique<TransferSender>(*sender->core.kernels, shape, sender->core.transcript,
                                             base.delta.get(), base.chosen, trees);
        return [&, sender] {
          for (std::size_t i = 0; i < kMessages; ++i) {
            connection.receive(sender->message);
            read_random_choices(sender->core, *sender->end, header, kMessageTransfers,
                                sender->message,
                                &sender->labels[i * padded_transfers(kMessageTransfers)]);
          }
          acknowledge(connection);
        };
      },
      [&](Connection& connection) {
        auto receiver = std::make_shared<Extension<TransferReceiver>>(options.path, shape);
        Message trees(shape.message_bytes());
        receiver->end = std::make_unique<TransferReceiver>(
            *receiver->core.kernels, shape, receiver->core.transcript, base.zero, base.one, trees);
        connection.send(trees);
        return [&, receiver] {
          for (std::size_t i = 0; i < kMessages; ++i) {
            write_random_choices(receiver->core, *receiver->end, header, kMessageTransfers,
                                 receiver->message,
                                 &receiver->labels[i * padded_transfers(kMessageTransfers)]);
            connection.send(receiver->message);
          }
          await(connection);
        };
      });
  report_million(name, few, samples, kMessages * kMessageTransfers, "checked corrections");
}

}  // namespace

void transfers_softspoken4(const Options& options) {
  corrections("transfers_softspoken4", kShallowTrees, options);
}

void transfers_softspoken8(const Options& options) {
  corrections("transfers_softspoken8", kDeepTrees, options);
}

void transfers_silent(const Options& options) {
  const Options few = fewer(options);
  const Samples samples = measure(
      few,
      [&](Connection& connection) {
        auto session = std::make_shared<HolderSession>(options.path);
        set_up(*session, connection);
        return [&, session] {
          fill(session->stock(), connection);
          (void)session->stock().transfers().take(kSilent.gain());
          acknowledge(connection);
        };
      },
      [&](Connection& connection) {
        auto session = std::make_shared<ChooserSession>(options.path);
        set_up(*session, connection);
        return [&, session] {
          fill(session->stock(), connection);
          (void)session->stock().transfers().take(kSilent.gain());
          await(connection);
        };
      });
  report_million("transfers_silent", few, samples, kSilent.gain(), "a round of the stock");
}

}  // namespace capc::gc::bench
