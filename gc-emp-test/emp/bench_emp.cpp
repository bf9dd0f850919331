// The benchmarks of bench_gc on EMP 0.3, printing the same columns.
// bench_emp [--repeat N] [name ...]

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "back_end.hpp"
#include "builder.hpp"
#include "circuits.hpp"
#include "endpoint.hpp"
#include "failures.hpp"
#include "gate_list.hpp"
#include "link_io.hpp"

using namespace capc::gc;
using namespace capc::gc::programs;

namespace {

using Clock = std::chrono::steady_clock;

constexpr Seconds kLimit{120.0};
constexpr std::size_t kReluBits = 47;
constexpr std::size_t kReluCount = 1080;

struct Samples {
  std::vector<double> seconds;
  std::uint64_t from_garbler = 0;
  std::uint64_t from_evaluator = 0;
};

/// One party's part of a benchmark: `begin` once, then `once` for every sample.
struct Part {
  std::function<void(Party, Link&)> begin;
  std::function<void(Party, Link&)> once;
};

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

void meet(Link& link) {
  std::uint8_t ready[1] = {1};
  link.write(ready);
  link.read(ready);
}

/// The evaluator's samples, from the moment that both are ready until both are done. Leaves the
/// first run out.
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

/// Garbler in a process of its own, evaluator in this one, over loopback TCP without encryption.
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

void report(const std::string& name, const Samples& samples, const std::string& note) {
  std::printf("%s,emp-0.3,%zu,%.6g,%.6g,%.6g,%llu,%llu,%s\n", name.c_str(), samples.seconds.size(),
              quantile(samples.seconds, 0.5), quantile(samples.seconds, 0.1),
              quantile(samples.seconds, 0.9), static_cast<unsigned long long>(samples.from_garbler),
              static_cast<unsigned long long>(samples.from_evaluator), note.c_str());
  std::fflush(stdout);
}

/// EMP's session lives in globals, and its channel has to live as long.
struct EmpSession {
  explicit EmpSession(Party party, Link& link) : io(link) {
    emp::setup_semi_honest(&io, party == Party::Garbler ? emp::ALICE : emp::BOB);
    link.flush();
  }
  EmpSession(const EmpSession&) = delete;
  EmpSession& operator=(const EmpSession&) = delete;
  ~EmpSession() { emp::finalize_semi_honest(); }
  LinkIO io;
};

/// As a user of EMP writes it, with its own Integer.
std::uint64_t emp_relu(Link& link) {
  const std::uint64_t gates_before = emp::CircuitExecution::circ_exec->num_and();
  std::vector<emp::Integer> a, b, mask;
  for (std::size_t i = 0; i < kReluCount; ++i) {
    a.emplace_back(static_cast<int>(kReluBits), static_cast<std::int64_t>(i * 7919), emp::ALICE);
    mask.emplace_back(static_cast<int>(kReluBits), static_cast<std::int64_t>(i * 31), emp::ALICE);
  }
  for (std::size_t i = 0; i < kReluCount; ++i) {
    b.emplace_back(static_cast<int>(kReluBits), -static_cast<std::int64_t>(i * 104729), emp::BOB);
  }
  const emp::Integer zero(static_cast<int>(kReluBits), 0, emp::PUBLIC);
  for (std::size_t i = 0; i < kReluCount; ++i) {
    const emp::Integer x = a[i] + b[i];
    const emp::Integer masked = x.select(x[kReluBits - 1], zero) - mask[i];
    bool bits[kReluBits];
    emp::ProtocolExecution::prot_exec->reveal(
        bits, emp::BOB, reinterpret_cast<const emp::block*>(masked.bits.data()), kReluBits);
  }
  link.flush();
  return emp::CircuitExecution::circ_exec->num_and() - gates_before;
}

void relu_1080x47(std::size_t repeat) {
  std::shared_ptr<EmpSession> session;
  std::uint64_t gates = 0;
  const Part part{
      [&](Party party, Link& link) { session = std::make_shared<EmpSession>(party, link); },
      [&](Party, Link& link) { gates = emp_relu(link); }};
  const Samples samples = measure(part, repeat);
  report("relu_1080x47", samples, std::to_string(gates) + " AND gates; EMP's Integer");
}

/// One batch of a circuit of ours on EMP, inputs known.
Samples measure_circuit(const Circuit& circuit, std::size_t instances, std::size_t repeat) {
  std::unique_ptr<BackEnd> back_end;
  const Part part{[&](Party party, Link& link) {
                    back_end = make_back_end(party, circuit, link);
                    back_end->set_up();
                  },
                  [&](Party party, Link&) {
                    const bool garbles = party == Party::Garbler;
                    const std::size_t words =
                        garbles ? circuit.online_words() : circuit.evaluator_words();
                    const WordTable shares{instances, words, SecretArray<Word>(instances * words)};
                    const SecretArray<Word> fixed(garbles ? instances * circuit.fixed_words() : 0);
                    static_cast<void>(back_end->run(shares, {fixed.data(), fixed.size()}));
                  }};
  return measure(part, repeat);
}

void and_throughput(std::size_t repeat) {
  constexpr std::size_t kGates = std::size_t{1} << 21;
  std::shared_ptr<EmpSession> session;
  const Part part{
      [&](Party party, Link& link) { session = std::make_shared<EmpSession>(party, link); },
      [](Party, Link& link) {
        emp::Integer a(32, 0x12345678, emp::ALICE);
        const emp::Integer b(8, 0x5A, emp::BOB);
        for (std::size_t i = 0; i < kGates; ++i) {
          emp::Bit& target = a[static_cast<int>(i % 32)];
          target =
              (target & b[static_cast<int>((i + i / 32) % 8)]) ^ a[static_cast<int>((i + 1) % 32)];
        }
        static_cast<void>(a.reveal<std::uint32_t>(emp::BOB));
        link.flush();
      }};
  const Samples samples = measure(part, std::max<std::size_t>(5, repeat / 5));
  char note[96];
  std::snprintf(note, sizeof note, "%zu AND gates; %.1f million/s", kGates,
                static_cast<double>(kGates) / quantile(samples.seconds, 0.5) / 1e6);
  report("and_throughput", samples, note);
}

void argmax_10(std::size_t repeat) {
  const Circuit circuit = argmax_circuit(47, 10, 32);
  const std::size_t gates = lower_shared_outputs(circuit).and_count();
  report("argmax_10", measure_circuit(circuit, 1, 10 * repeat),
         std::to_string(gates) + " AND gates; 47 bits; the project's circuit");
}

void session_setup(std::size_t repeat) {
  const Part part{nullptr, [](Party party, Link& link) { EmpSession session(party, link); }};
  report("session_setup", measure(part, repeat),
         "128 base transfers and the first 16384 extended ones");
}

struct Benchmark {
  const char* name;
  void (*run)(std::size_t repeat);
};

constexpr Benchmark kBenchmarks[] = {{"relu_1080x47", relu_1080x47},
                                     {"and_throughput", and_throughput},
                                     {"argmax_10", argmax_10},
                                     {"session_setup", session_setup}};

}  // namespace

int main(int argc, char** argv) {
  std::size_t repeat = 50;
  std::vector<std::string> names(argv + 1, argv + argc);
  if (names.size() >= 2 && names[0] == "--repeat") {
    repeat = std::strtoul(names[1].c_str(), nullptr, 10);
    names.erase(names.begin(), names.begin() + 2);
  }
  const auto known = [](const std::string& name) {
    return std::any_of(std::begin(kBenchmarks), std::end(kBenchmarks),
                       [&](const Benchmark& b) { return name == b.name; });
  };
  if (repeat < 1 || repeat > 100000 || !std::all_of(names.begin(), names.end(), known)) {
    std::fputs(
        "usage: bench_emp [--repeat N] [name ...]\n"
        "names: relu_1080x47 and_throughput argmax_10 session_setup (all by default)\n"
        "bytes_sent are the garbler's, bytes_received the evaluator's\n",
        stderr);
    return 2;
  }
  std::puts("benchmark,implementation,n,median_s,p10_s,p90_s,bytes_sent,bytes_received,note");
  std::fflush(stdout);
  try {
    for (const Benchmark& benchmark : kBenchmarks) {
      if (names.empty() || std::find(names.begin(), names.end(), benchmark.name) != names.end()) {
        benchmark.run(repeat);
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_emp: %s\n", error.what());
    return 1;
  }
  return 0;
}
