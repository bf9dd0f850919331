// The benchmarks of bench_gc on EMP, printing the same columns.
// bench_emp [--repeat N] [name ...]

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "back_end.hpp"
#include "circuits.hpp"
#include "emp_line.hpp"
#include "measure.hpp"

using namespace capc::gc;
using namespace capc::gc::programs;

namespace {

constexpr std::size_t kReluBits = 47;
constexpr std::size_t kReluCount = 1080;

/// As a user of EMP writes it, with its own Integer.
std::uint64_t emp_relu(Link& link) {
  const std::uint64_t gates_before = emp_and_count();
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
    emp_reveal(bits, emp::BOB, reinterpret_cast<const emp::block*>(masked.bits.data()), kReluBits);
  }
  link.flush();
  return emp_and_count() - gates_before;
}

void relu_1080x47(std::size_t repeat) {
  std::shared_ptr<EmpSession> session;
  std::uint64_t gates = 0;
  const Part part{
      [&](Party party, Link& link) { session = std::make_shared<EmpSession>(party, link); },
      [&](Party, Link& link) { gates = emp_relu(link); }};
  const Samples samples = measure(part, repeat);
  report("relu_1080x47", kEmpLine, samples, std::to_string(gates) + " AND gates; EMP's Integer");
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
  report("and_throughput", kEmpLine, samples, note);
}

void argmax_10(std::size_t repeat) {
  const Circuit circuit = argmax_circuit(47, 10, 32);
  const std::size_t gates = lower_shared_outputs(circuit).and_count();
  report("argmax_10", kEmpLine, measure_circuit(circuit, 1, 10 * repeat),
         std::to_string(gates) + " AND gates; 47 bits; the project's circuit");
}

void session_setup(std::size_t repeat) {
  const Part part{nullptr, [](Party party, Link& link) { EmpSession session(party, link); }};
  report("session_setup", kEmpLine, measure(part, repeat),
         "128 base transfers and the first 16384 extended ones");
}

constexpr Benchmark kBenchmarks[] = {{"relu_1080x47", relu_1080x47},
                                     {"and_throughput", and_throughput},
                                     {"argmax_10", argmax_10},
                                     {"session_setup", session_setup}};

}  // namespace

int main(int argc, char** argv) { return run_benchmarks(kBenchmarks, argc, argv); }
