#include "lookup_plan.hpp"

#include <algorithm>

#include "ot_extension.hpp"

namespace capc::gc {
namespace {

[[nodiscard]] std::size_t packed_bytes(std::size_t bits) { return (bits + 7) / 8; }

}  // namespace

std::size_t LookupPlan::chunk_count(std::size_t instances) {
  return (instances + kLookupChunk - 1) / kLookupChunk;
}

std::size_t LookupPlan::chunk_instances(std::size_t instances, std::size_t chunk) {
  return std::min(kLookupChunk, instances - chunk * kLookupChunk);
}

std::size_t LookupPlan::correlate_bytes(std::size_t instances, std::size_t chunk,
                                        const TreeShape& shape) const {
  return kHeaderBytes + choice_body_bytes(chunk_instances(instances, chunk) * transfers_, shape);
}

std::size_t LookupPlan::back_bytes(std::size_t instances, const TreeShape& shape) const {
  return kHeaderBytes + choice_body_bytes(instances * back_transfers_, shape);
}

std::size_t LookupPlan::choose_bytes(std::size_t instances, std::size_t step) const {
  std::size_t bits = 0;
  for (const Lookup& lookup : steps_[step]) bits += lookup.choose_bits;
  return kHeaderBytes + packed_bytes(bits * instances);
}

std::size_t LookupPlan::table_bytes(std::size_t instances, std::size_t step) const {
  std::size_t bits = 0;
  for (const Lookup& lookup : steps_[step]) bits += lookup.table_bits;
  return kHeaderBytes + packed_bytes(bits * instances);
}

std::pair<std::size_t, std::size_t> LookupPlan::offline_bytes(std::size_t instances,
                                                              const TreeShape& shape) const {
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < chunk_count(instances); ++i) {
    chosen += correlate_bytes(instances, i, shape);
  }
  return {back_bytes(instances, shape), chosen};
}

std::pair<std::size_t, std::size_t> LookupPlan::online_bytes(std::size_t instances) const {
  std::size_t tables = 0;
  std::size_t chosen = 0;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    tables += table_bytes(instances, step);
    chosen += choose_bytes(instances, step);
  }
  return {tables, chosen};
}

}  // namespace capc::gc
