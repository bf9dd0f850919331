#include "protocol.hpp"

#include <algorithm>

namespace capc::gc::bench {

void set_up(GarblerSession& session, Connection& connection) {
  const Message offer = connection.receive(kSetupOfferBytes);
  Message choice(kSetupChoiceBytes);
  session.setup_choose(offer, choice);
  connection.send(choice);
  session.setup_keys();
  session.setup_finish(connection.receive(kSetupTreesBytes));
}

void set_up(EvaluatorSession& session, Connection& connection) {
  Message offer(kSetupOfferBytes);
  session.setup_offer(offer);
  connection.send(offer);
  Message trees(kSetupTreesBytes);
  session.setup_answer(connection.receive(kSetupChoiceBytes), trees);
  connection.send(trees);
}

void transfer(GarblerBatch& batch, Connection& connection) {
  const BatchLayout& layout = batch.layout();
  Message choice(layout.choice_bytes(0));
  Message tables(layout.tables_bytes(0));
  for (std::size_t i = 0; i < layout.chunk_count(); ++i) {
    choice.resize(layout.choice_bytes(i));
    tables.resize(layout.tables_bytes(i));
    connection.receive(choice);
    batch.garble_chunk(choice, tables);
    connection.send(tables);
  }
}

void transfer(EvaluatorBatch& batch, Connection& connection) {
  const BatchLayout& layout = batch.layout();
  Message choice(layout.choice_bytes(0));
  Message tables(layout.tables_bytes(0));
  const auto choose = [&] {
    choice.resize(layout.choice_bytes(batch.choices_made()));
    batch.choose_chunk(choice);
    connection.send(choice);
  };
  const std::size_t ahead = std::min(batch.window(), layout.chunk_count());
  for (std::size_t i = 0; i < ahead; ++i) choose();
  for (std::size_t i = 0; i < layout.chunk_count(); ++i) {
    tables.resize(layout.tables_bytes(i));
    connection.receive(tables);
    batch.take_chunk(tables);
    if (batch.choices_made() < layout.chunk_count()) choose();
  }
}

void online(GarblerBatch& batch, std::span<const Word> shares, Connection& connection) {
  const BatchLayout& layout = batch.layout();
  batch.take_masked(connection.receive(layout.masked_bytes()), shares);
  Message labels(layout.labels_bytes(0));
  for (std::size_t i = 0; i < layout.chunk_count(); ++i) {
    labels.resize(layout.labels_bytes(i));
    batch.label_chunk(labels);
    connection.send(labels);
  }
}

void online(EvaluatorBatch& batch, std::span<const Word> shares, Connection& connection) {
  const BatchLayout& layout = batch.layout();
  Message masked(layout.masked_bytes());
  batch.mask_shares(shares, masked);
  connection.send(masked);
  Message labels(layout.labels_bytes(0));
  for (std::size_t i = 0; i < layout.chunk_count(); ++i) {
    labels.resize(layout.labels_bytes(i));
    connection.receive(labels);
    batch.evaluate_chunk(labels);
  }
}

}  // namespace capc::gc::bench
