#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "loopback.hpp"

namespace capc::gc::bench {

struct Options {
  std::size_t repeat = 50;
  Path path = best_path();
  std::vector<std::string> names;
};

struct Samples {
  std::vector<double> seconds;
  std::vector<double> processor_seconds;  // of both processes
  std::uint64_t from_garbler = 0;         // bytes of one run
  std::uint64_t from_evaluator = 0;
};

[[nodiscard]] double quantile(std::vector<double> values, double q);

/// The row of a benchmark, to standard output.
void report(const std::string& name, const Options& options, const Samples& samples,
            const std::string& note);

/// Times `evaluator` from the moment that both processes are ready until it and the garbler are
/// done; one run before the first counted one.
[[nodiscard]] Samples measure(const Options& options,
                              const std::function<std::function<void()>(Connection&)>& garbler,
                              const std::function<std::function<void()>(Connection&)>& evaluator);

}  // namespace capc::gc::bench
