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

/// Instances whose batches are prepared together, and go through a step one behind the other. As
/// `capc run` prepares layers ahead while the holder keeps no more than 256 MiB: here a quarter.
constexpr std::size_t kGroupInstances = std::size_t{1} << 19;

/// ReLUs of any number, group after group: the transfers of all its batches, then the steps.
void run_lookups(HolderSession& session, const LookupPlan& plan, std::span<const Word> masks,
                 std::span<const Word> shares, Source source, Connection& connection);
[[nodiscard]] std::vector<Word> run_lookups(ChooserSession& session, const LookupPlan& plan,
                                            std::span<const Word> shares, Source source,
                                            Connection& connection);

}  // namespace capc::gc::bench
