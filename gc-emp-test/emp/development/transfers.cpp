// The random correlated transfers of EMP's development line, secure against a party that deviates
// as ours are, beside the rows of the same names of bench_gc. Set-up is apart: the first run, which
// is not counted, does the base transfers.
// bench_emp_dev_transfers [--repeat N] [name ...]

#include <emp-ot/emp-ot.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "emp_line.hpp"
#include "measure.hpp"

using namespace capc::gc::programs;

namespace {

constexpr bool kAgainstDeviation = true;
constexpr double kMillion = 1e6;

/// Makes one party's end of an extension.
using Opener = std::function<std::unique_ptr<emp::OTExtension>(int party, emp::IOChannel* io)>;

/// `transfers` a sample. The row is of a million.
void measure_transfers(const char* name, const char* implementation, std::size_t repeat,
                       std::size_t transfers, const Opener& open, const std::string& what) {
  std::unique_ptr<LinkIO> io;
  std::unique_ptr<emp::OTExtension> extension;
  std::vector<emp::block> labels(transfers);
  const auto count = static_cast<std::int64_t>(transfers);
  const Part part{[&](Party party, Link& link) {
                    io = std::make_unique<LinkIO>(link);
                    extension = open(party == Party::Garbler ? emp::ALICE : emp::BOB, io.get());
                  },
                  [&](Party party, Link& link) {
                    // The evaluator's clock stops when the garbler, too, has what it made.
                    std::uint8_t done[1] = {1};
                    if (party == Party::Garbler) {
                      extension->rcot_send(labels.data(), count);
                      link.write(done);
                      link.flush();
                    } else {
                      extension->rcot_recv(labels.data(), count);
                      link.read(done);
                    }
                  }};
  Samples samples = measure(part, std::max<std::size_t>(3, repeat / 10));
  const double scale = kMillion / static_cast<double>(transfers);
  for (double& seconds : samples.seconds) seconds *= scale;
  for (std::uint64_t* bytes : {&samples.from_garbler, &samples.from_evaluator}) {
    *bytes = static_cast<std::uint64_t>(static_cast<double>(*bytes) * scale);
  }
  char note[160];
  std::snprintf(note, sizeof note,
                "a million transfers; %s; %zu a run; %.1f million/s; %.2f bytes each", what.c_str(),
                transfers, 1 / quantile(samples.seconds, 0.5),
                static_cast<double>(samples.from_garbler + samples.from_evaluator) / kMillion);
  report(name, implementation, samples, note);
}

template <int k>
void softspoken(const char* name, std::size_t repeat) {
  measure_transfers(
      name, kEmpLine, repeat, std::size_t{1} << 20,
      [](int party, emp::IOChannel* io) {
        return std::make_unique<emp::SoftSpokenOT<k>>(party, io, kAgainstDeviation);
      },
      "SoftSpokenOT<" + std::to_string(k) + ">");
}

/// A whole round of Ferret a run, less what it keeps for the next one.
void ferret(std::size_t repeat, const char* set, const emp::PrimalLPNParameter& parameters) {
  const auto transfers = static_cast<std::size_t>(parameters.t - parameters.refill_trees)
                         << parameters.tree_depth;
  measure_transfers(
      "transfers_silent", (std::string(kEmpLine) + "-" + set).c_str(), repeat, transfers,
      [&](int party, emp::IOChannel* io) {
        return std::make_unique<emp::Ferret>(party, io, kAgainstDeviation, parameters);
      },
      std::string("Ferret, set ") + set);
}

constexpr Benchmark kBenchmarks[] = {
    {"transfers_softspoken4",
     [](std::size_t repeat) { softspoken<4>("transfers_softspoken4", repeat); }},
    {"transfers_softspoken8",
     [](std::size_t repeat) { softspoken<8>("transfers_softspoken8", repeat); }},
    {"transfers_silent", [](std::size_t repeat) {
       ferret(repeat, "b10", emp::tuning::ferret_b10);
       ferret(repeat, "b11", emp::tuning::ferret_b11);
       ferret(repeat, "b13", emp::tuning::ferret_b13);
     }}};

}  // namespace

int main(int argc, char** argv) { return run_benchmarks(kBenchmarks, argc, argv); }
