#include "lookups.hpp"

#include <algorithm>

namespace capc::gc::bench {
namespace {

constexpr std::size_t kPiece = 8192;  // as capc.gc.lookups cuts layers

/// `work` on each batch's first instance and size.
template <class Work>
void for_each_batch(std::size_t instances, Work work) {
  for (std::size_t first = 0; first < instances; first += kPiece) {
    work(first, std::min(kPiece, instances - first));
  }
}

template <class Session, class Batch>
void draw(Session& session, Batch& batch, Connection& connection) {
  while (!batch.has_forward()) {
    if (session.stock().transfers().available() < batch.plan().transfers()) {
      fill(session.stock(), connection);
    }
    batch.draw();
  }
  while (!batch.has_back()) {
    if (session.stock_back().transfers().available() < batch.plan().back_transfers()) {
      fill(session.stock_back(), connection);
    }
    batch.draw_back();
  }
}

void prepare(const HolderSession& session, HolderBatch& batch, Connection& connection) {
  Message back(batch.plan().back_bytes(batch.instances(), session.shape()));
  batch.correct(back);
  connection.send(back);
  for (std::size_t i = 0; i < LookupPlan::chunk_count(batch.instances()); ++i) {
    batch.take_correlations(
        connection.receive(batch.plan().correlate_bytes(batch.instances(), i, session.shape())));
  }
}

void prepare(const ChooserSession& session, ChooserBatch& batch, Connection& connection) {
  batch.take_back(connection.receive(batch.plan().back_bytes(batch.instances(), session.shape())));
  for (std::size_t i = 0; i < LookupPlan::chunk_count(batch.instances()); ++i) {
    Message correlations(batch.plan().correlate_bytes(batch.instances(), i, session.shape()));
    batch.correlate(correlations);
    connection.send(correlations);
  }
}

}  // namespace

void fill(StockSender& stock, Connection& connection) {
  const SilentParameters& parameters = stock.transfers().parameters();
  if (!stock.transfers().is_seeded()) {
    stock.take_seeds(connection.receive(stock.seed_bytes()));
  }
  Message trees(stock_trees_bytes(parameters)), proof(kStockProofBytes);
  stock.grow(trees);
  connection.send(trees);
  stock.prove(connection.receive(kStockPointBytes), proof);
  connection.send(proof);
}

void fill(StockReceiver& stock, Connection& connection) {
  const SilentParameters& parameters = stock.transfers().parameters();
  if (!stock.transfers().is_seeded()) {
    Message seeds(stock.seed_bytes());
    stock.send_seeds(seeds);
    connection.send(seeds);
  }
  Message point(kStockPointBytes);
  stock.answer(connection.receive(stock_trees_bytes(parameters)), point);
  connection.send(point);
  stock.finish(connection.receive(kStockProofBytes));
}

void set_up(HolderSession& session, Connection& connection) {
  Message choice(kLookupChoiceBytes), trees(lookup_trees_bytes(session.shape()));
  session.setup_choose(connection.receive(kLookupOfferBytes), choice);
  connection.send(choice);
  session.setup_finish(connection.receive(lookup_answer_bytes(session.shape())), trees);
  connection.send(trees);
}

void set_up(ChooserSession& session, Connection& connection) {
  Message offer(kLookupOfferBytes), answer(lookup_answer_bytes(session.shape()));
  session.setup_offer(offer);
  connection.send(offer);
  session.setup_answer(connection.receive(kLookupChoiceBytes), answer);
  connection.send(answer);
  session.setup_finish(connection.receive(lookup_trees_bytes(session.shape())));
}

void run_lookups(HolderSession& session, const LookupPlan& plan, std::span<const Word> masks,
                 std::span<const Word> shares, Source source, Connection& connection) {
  for_each_batch(masks.size(), [&](std::size_t first, std::size_t count) {
    const auto batch = session.prepare(plan, masks.subspan(first, count), source);
    if (source == Source::Stock) {
      draw(session, *batch, connection);
    } else {
      prepare(session, *batch, connection);
    }
    batch->begin(shares.subspan(first, count));
    for (std::size_t step = 0; step < plan.steps().size(); ++step) {
      Message table(plan.table_bytes(count, step));
      batch->answer(connection.receive(plan.choose_bytes(count, step)), table);
      connection.send(table);
    }
  });
}

std::vector<Word> run_lookups(ChooserSession& session, const LookupPlan& plan,
                              std::span<const Word> shares, Source source, Connection& connection) {
  std::vector<Word> outputs;
  for_each_batch(shares.size(), [&](std::size_t first, std::size_t count) {
    const auto batch = session.prepare(plan, count, source);
    if (source == Source::Stock) {
      draw(session, *batch, connection);
    } else {
      prepare(session, *batch, connection);
    }
    batch->begin(shares.subspan(first, count));
    for (std::size_t step = 0; step < plan.steps().size(); ++step) {
      Message choose(plan.choose_bytes(count, step));
      batch->choose(choose);
      connection.send(choose);
      batch->take_table(connection.receive(plan.table_bytes(count, step)));
    }
    outputs.insert(outputs.end(), batch->outputs().begin(), batch->outputs().end());
  });
  return outputs;
}

}  // namespace capc::gc::bench
