#pragma once

#include <span>
#include <vector>

#include "chooser.hpp"
#include "holder.hpp"
#include "loopback.hpp"

namespace capc::gc::bench {

void set_up(HolderSession& session, Connection& connection);
void set_up(ChooserSession& session, Connection& connection);

/// A round of a stock of silent transfers: the seeds first where it has none.
void fill(StockSender& stock, Connection& connection);
void fill(StockReceiver& stock, Connection& connection);

/// ReLUs of any number, in batches one after the other: the transfers, then the steps.
void run_lookups(HolderSession& session, const LookupPlan& plan, std::span<const Word> masks,
                 std::span<const Word> shares, Source source, Connection& connection);
[[nodiscard]] std::vector<Word> run_lookups(ChooserSession& session, const LookupPlan& plan,
                                            std::span<const Word> shares, Source source,
                                            Connection& connection);

}  // namespace capc::gc::bench
