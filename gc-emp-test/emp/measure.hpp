#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "link.hpp"
#include "task.hpp"

namespace capc::gc::programs {

/// What the benchmarks on EMP have in common with each other: two processes, samples, a row.
struct Samples {
  std::vector<double> seconds;
  std::uint64_t from_garbler = 0;  // bytes of one sample
  std::uint64_t from_evaluator = 0;
};

/// One party's part of a benchmark: `begin` once, then `once` for every sample.
struct Part {
  std::function<void(Party, Link&)> begin;
  std::function<void(Party, Link&)> once;
};

[[nodiscard]] double quantile(std::vector<double> values, double q);

/// Garbler in a process of its own, evaluator in this one, over loopback TCP without encryption.
/// The evaluator's samples, from the moment that both are ready until it is done. Leaves the first
/// run out.
[[nodiscard]] Samples measure(const Part& part, std::size_t repeat);

/// The row of a benchmark on `line`, to standard output.
void report(const std::string& name, const char* line, const Samples& samples,
            const std::string& note);

struct Benchmark {
  const char* name;
  void (*run)(std::size_t repeat);
};

/// A program's main: PROGRAM [--repeat N] [name ...], all names by default. The exit status.
int run_benchmarks(std::span<const Benchmark> benchmarks, int argc, char** argv);

}  // namespace capc::gc::programs
