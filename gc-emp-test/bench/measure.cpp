#include "measure.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace capc::gc::bench {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const long index = std::lround(q * static_cast<double>(values.size() - 1));
  return values[static_cast<std::size_t>(index)];
}

void report(const std::string& name, const Options& options, const Samples& samples,
            const std::string& note) {
  std::printf("%s,builtin,%zu,%.6g,%.6g,%.6g,%llu,%llu,%s; %.3g processor seconds\n", name.c_str(),
              samples.seconds.size(), quantile(samples.seconds, 0.5),
              quantile(samples.seconds, 0.1), quantile(samples.seconds, 0.9),
              static_cast<unsigned long long>(samples.from_garbler),
              static_cast<unsigned long long>(samples.from_evaluator),
              (std::string(path_name(options.path)) + (note.empty() ? "" : "; ") + note).c_str(),
              quantile(samples.processor_seconds, 0.5));
  std::fflush(stdout);
}

Samples measure(const Options& options,
                const std::function<std::function<void()>(Connection&)>& garbler,
                const std::function<std::function<void()>(Connection&)>& evaluator) {
  Samples samples;
  // Both wait for each other, and learn what processor time both have used.
  const auto meet = [](Connection& connection) {
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    const double own = static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
    Message message(sizeof own);
    std::memcpy(message.data(), &own, sizeof own);
    connection.send(message);
    connection.receive(message);
    double other = 0;
    std::memcpy(&other, message.data(), sizeof other);
    return own + other;
  };
  run_two_processes(
      [&](Connection& connection) {
        const auto once = garbler(connection);
        for (std::size_t i = 0; i <= options.repeat; ++i) {
          (void)meet(connection);
          once();
          (void)meet(connection);
        }
      },
      [&](Connection& connection) {
        const auto once = evaluator(connection);
        for (std::size_t i = 0; i <= options.repeat; ++i) {
          const double used = meet(connection);
          const std::uint64_t sent = connection.sent;
          const std::uint64_t received = connection.received;
          const Clock::time_point begin = Clock::now();
          once();
          const std::chrono::duration<double> elapsed = Clock::now() - begin;
          samples.from_evaluator = connection.sent - sent;
          samples.from_garbler = connection.received - received;
          const double used_then = meet(connection);
          if (i == 0) continue;
          samples.seconds.push_back(elapsed.count());
          samples.processor_seconds.push_back(used_then - used);
        }
      });
  return samples;
}

}  // namespace capc::gc::bench
