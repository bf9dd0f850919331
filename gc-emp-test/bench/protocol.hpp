#pragma once

#include <span>
#include <vector>

#include "circuits.hpp"
#include "evaluator.hpp"
#include "garbler.hpp"
#include "loopback.hpp"

namespace capc::gc::bench {

void set_up(GarblerSession& session, Connection& connection);
void set_up(EvaluatorSession& session, Connection& connection);

/// Tables from the garbler to the evaluator; the evaluator keeps a few choices ahead.
void transfer(GarblerBatch& batch, Connection& connection);
void transfer(EvaluatorBatch& batch, Connection& connection);

void online(GarblerBatch& batch, std::span<const Word> shares, Connection& connection);
void online(EvaluatorBatch& batch, std::span<const Word> shares, Connection& connection);

}  // namespace capc::gc::bench
