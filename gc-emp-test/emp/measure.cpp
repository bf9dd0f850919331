#include "measure.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "endpoint.hpp"
#include "failures.hpp"

namespace capc::gc::programs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Seconds kLimit{120.0};

void meet(Link& link) {
  std::uint8_t ready[1] = {1};
  link.write(ready);
  link.read(ready);
}

Samples play(Party party, Link& link, const Part& part, std::size_t repeat) {
  Samples samples;
  if (part.begin) part.begin(party, link);
  for (std::size_t i = 0; i <= repeat; ++i) {
    meet(link);
    const Traffic before = link.traffic();
    const Clock::time_point begin = Clock::now();
    part.once(party, link);
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    samples.from_evaluator = link.traffic().bytes_sent - before.bytes_sent;
    samples.from_garbler = link.traffic().bytes_received - before.bytes_received;
    if (i > 0) samples.seconds.push_back(elapsed.count());
    meet(link);
  }
  return samples;
}

}  // namespace

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

Samples measure(const Part& part, std::size_t repeat) {
  const Listener listener(0);
  const Deadline deadline(kLimit);
  const pid_t child = ::fork();
  if (child < 0) throw SystemError("cannot fork");
  if (child == 0) {
    int status = 0;
    try {
      Link link(plain_stream(listener.accept(deadline, kNoOwner), kNoOwner), kLimit);
      play(Party::Garbler, link, part, repeat);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "garbler: %s\n", error.what());
      status = 1;
    }
    ::_exit(status);
  }
  Descriptor socket = connect_to("127.0.0.1", listener.port(), Absent::Fail, deadline, kNoOwner);
  Link link(plain_stream(std::move(socket), kNoOwner), kLimit);
  Samples samples = play(Party::Evaluator, link, part, repeat);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) throw SystemError("the garbler failed");
  return samples;
}

void report(const std::string& name, const char* line, const Samples& samples,
            const std::string& note) {
  std::printf("%s,%s,%zu,%.6g,%.6g,%.6g,%llu,%llu,%s\n", name.c_str(), line, samples.seconds.size(),
              quantile(samples.seconds, 0.5), quantile(samples.seconds, 0.1),
              quantile(samples.seconds, 0.9), static_cast<unsigned long long>(samples.from_garbler),
              static_cast<unsigned long long>(samples.from_evaluator), note.c_str());
  std::fflush(stdout);
}

int run_benchmarks(std::span<const Benchmark> benchmarks, int argc, char** argv) {
  std::vector<std::string> names(argv + 1, argv + argc);
  std::size_t repeat = 50;
  if (names.size() >= 2 && names[0] == "--repeat") {
    repeat = std::strtoul(names[1].c_str(), nullptr, 10);
    names.erase(names.begin(), names.begin() + 2);
  }
  const auto known = [&](const std::string& name) {
    return std::any_of(benchmarks.begin(), benchmarks.end(),
                       [&](const Benchmark& b) { return name == b.name; });
  };
  if (repeat < 1 || repeat > 100000 || !std::all_of(names.begin(), names.end(), known)) {
    std::fprintf(stderr, "usage: %s [--repeat N] [name ...]\nnames:", argv[0]);
    for (const Benchmark& benchmark : benchmarks) std::fprintf(stderr, " %s", benchmark.name);
    std::fputs(" (all by default)\nbytes_sent are the garbler's, bytes_received the evaluator's\n",
               stderr);
    return 2;
  }
  std::puts("benchmark,implementation,n,median_s,p10_s,p90_s,bytes_sent,bytes_received,note");
  std::fflush(stdout);
  try {
    for (const Benchmark& benchmark : benchmarks) {
      if (names.empty() || std::find(names.begin(), names.end(), benchmark.name) != names.end()) {
        benchmark.run(repeat);
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
  return 0;
}

}  // namespace capc::gc::programs
