#include "lookups.hpp"

#include <algorithm>
#include <memory>

namespace capc::gc::bench {
namespace {

constexpr std::size_t kPiece = 8192;  // as capc.gc.layer_pieces cuts large layers

constexpr std::size_t kLag = kSilentWindow - 1;

/// `work` on the first instance and the size of each part of at most `most` instances.
template <class Work>
void for_each_part(std::size_t instances, std::size_t most, Work work) {
  for (std::size_t first = 0; first < instances; first += most) {
    work(first, std::min(most, instances - first));
  }
}

template <class Batch>
using Batches = std::vector<std::unique_ptr<Batch>>;

/// Batches that draw on one stock, in order, as long as it has something.
template <class Batch>
class Draws {
 public:
  Draws(const Batches<Batch>& batches, void (Batch::*draw)(), bool (Batch::*has_all)() const)
      : batches_(&batches), draw_(draw), has_all_(has_all) {}

  [[nodiscard]] bool need_more() const { return next_ < batches_->size(); }
  void serve() {
    for (; need_more(); ++next_) {
      Batch& batch = *(*batches_)[next_];
      (batch.*draw_)();
      if (!(batch.*has_all_)()) return;
    }
  }

 private:
  const Batches<Batch>* batches_;
  void (Batch::*draw_)();
  bool (Batch::*has_all_)() const;
  std::size_t next_ = 0;
};

void seed(StockSender& stock, Connection& connection) {
  if (stock.transfers().is_seeded()) return;
  stock.take_seeds(connection.receive(stock.seed_bytes()));
}

void seed(StockReceiver& stock, Connection& connection) {
  if (stock.transfers().is_seeded()) return;
  Message seeds(stock.seed_bytes());
  stock.send_seeds(seeds);
  connection.send(seeds);
}

void grow(StockSender& stock, Connection& connection) {
  Message trees(stock_trees_bytes(stock.transfers().parameters()));
  stock.grow(trees);
  connection.send(trees);
}

void answer(StockReceiver& stock, Connection& connection) {
  Message point(kStockPointBytes);
  stock.answer(connection.receive(stock_trees_bytes(stock.transfers().parameters())), point);
  connection.send(point);
}

void prove(StockSender& stock, Connection& connection) {
  Message proof(kStockProofBytes);
  stock.prove(connection.receive(kStockPointBytes), proof);
  connection.send(proof);
}

void finish(StockReceiver& stock, Connection& connection) {
  stock.finish(connection.receive(kStockProofBytes));
}

template <class Batch, class Stock, class StockBack>
[[nodiscard]] bool under_way(const Draws<Batch>& forward, const Draws<Batch>& back, Stock& stock,
                             StockBack& stock_back) {
  return forward.need_more() || back.need_more() || stock.transfers().pending() > 0 ||
         stock_back.transfers().pending() > 0;
}

// As capc.gc.stock_rounds, both ends go through ticks, so that rounds in both directions are under
// way while each party works.

void prepare(HolderSession& session, const Batches<HolderBatch>& batches, Connection& connection) {
  Draws forward(batches, &HolderBatch::draw, &HolderBatch::has_forward);
  Draws back(batches, &HolderBatch::draw_back, &HolderBatch::has_back);
  StockSender& stock = session.stock();
  StockReceiver& stock_back = session.stock_back();
  const auto grow_next = [&] {
    if (!forward.need_more()) return;
    grow(stock, connection);
    forward.serve();
  };
  seed(stock_back, connection);
  seed(stock, connection);
  forward.serve();
  back.serve();
  for (std::size_t i = 0; i < kLag; ++i) grow_next();
  for (std::size_t tick = 0; under_way(forward, back, stock, stock_back); ++tick) {
    grow_next();
    if (back.need_more()) {
      answer(stock_back, connection);
      back.serve();
    }
    if (stock.transfers().pending() > 0) prove(stock, connection);
    if (tick >= kLag && stock_back.transfers().pending() > 0) finish(stock_back, connection);
  }
}

void prepare(ChooserSession& session, const Batches<ChooserBatch>& batches,
             Connection& connection) {
  Draws forward(batches, &ChooserBatch::draw, &ChooserBatch::has_forward);
  Draws back(batches, &ChooserBatch::draw_back, &ChooserBatch::has_back);
  StockReceiver& stock = session.stock();
  StockSender& stock_back = session.stock_back();
  seed(stock, connection);
  seed(stock_back, connection);
  forward.serve();
  back.serve();
  for (std::size_t tick = 0; under_way(forward, back, stock, stock_back); ++tick) {
    if (back.need_more()) {
      grow(stock_back, connection);
      back.serve();
    }
    if (forward.need_more()) {
      answer(stock, connection);
      forward.serve();
    }
    if (tick >= kLag && stock_back.transfers().pending() > 0) prove(stock_back, connection);
    if (tick >= kLag && stock.transfers().pending() > 0) finish(stock, connection);
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
  seed(stock, connection);
  grow(stock, connection);
  prove(stock, connection);
}

void fill(StockReceiver& stock, Connection& connection) {
  seed(stock, connection);
  answer(stock, connection);
  finish(stock, connection);
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
  for_each_part(masks.size(), kGroupInstances, [&](std::size_t start, std::size_t size) {
    Batches<HolderBatch> batches;
    for_each_part(size, kPiece, [&](std::size_t first, std::size_t count) {
      batches.push_back(session.prepare(plan, masks.subspan(start + first, count), source));
    });
    if (source == Source::Stock) {
      prepare(session, batches, connection);
    } else {
      for (const auto& batch : batches) prepare(session, *batch, connection);
    }
    for_each_part(size, kPiece, [&](std::size_t first, std::size_t count) {
      batches[first / kPiece]->begin(shares.subspan(start + first, count));
    });
    for (std::size_t step = 0; step < plan.steps().size(); ++step) {
      for (const auto& batch : batches) {
        Message table(plan.table_bytes(batch->instances(), step));
        batch->answer(connection.receive(plan.choose_bytes(batch->instances(), step)), table);
        connection.send(table);
      }
    }
  });
}

std::vector<Word> run_lookups(ChooserSession& session, const LookupPlan& plan,
                              std::span<const Word> shares, Source source, Connection& connection) {
  std::vector<Word> outputs;
  for_each_part(shares.size(), kGroupInstances, [&](std::size_t start, std::size_t size) {
    Batches<ChooserBatch> batches;
    for_each_part(size, kPiece, [&](std::size_t, std::size_t count) {
      batches.push_back(session.prepare(plan, count, source));
    });
    if (source == Source::Stock) {
      prepare(session, batches, connection);
    } else {
      for (const auto& batch : batches) prepare(session, *batch, connection);
    }
    for_each_part(size, kPiece, [&](std::size_t first, std::size_t count) {
      batches[first / kPiece]->begin(shares.subspan(start + first, count));
    });
    for (std::size_t step = 0; step < plan.steps().size(); ++step) {
      const auto choose = [&](ChooserBatch& batch) {
        Message choices(plan.choose_bytes(batch.instances(), step));
        batch.choose(choices);
        connection.send(choices);
      };
      choose(*batches[0]);
      for (std::size_t i = 0; i < batches.size(); ++i) {
        if (i + 1 < batches.size()) choose(*batches[i + 1]);
        batches[i]->take_table(connection.receive(plan.table_bytes(batches[i]->instances(), step)));
      }
    }
    for (const auto& batch : batches) {
      outputs.insert(outputs.end(), batch->outputs().begin(), batch->outputs().end());
    }
  });
  return outputs;
}

}  // namespace capc::gc::bench
