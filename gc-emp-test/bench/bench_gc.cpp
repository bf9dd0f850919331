// Benchmarks of the engine between two processes over loopback TCP, as CSV on standard output.
// bench_gc [--repeat N] [--path portable|aes-ni|vaes] [name ...]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "builder.hpp"
#include "lookups.hpp"
#include "measure.hpp"
#include "protocol.hpp"
#include "relu_plan.hpp"
#include "transfers.hpp"

using namespace capc::gc;
using namespace capc::gc::bench;

namespace {

struct Inputs {
  std::vector<Word> online;
  std::vector<Word> fixed;
  std::vector<Word> evaluator;
};

[[nodiscard]] Inputs random_inputs(const Circuit& circuit, std::size_t n) {
  Inputs inputs{std::vector<Word>(n * circuit.online_words()),
                std::vector<Word>(n * circuit.fixed_words()),
                std::vector<Word>(n * circuit.evaluator_words())};
  for (auto* words : {&inputs.online, &inputs.fixed, &inputs.evaluator}) {
    if (!words->empty()) random_bytes(words->data(), words->size() * sizeof(Word));
  }
  return inputs;
}

/// One batch in a running session, inputs known: transfers, garbling, sending, evaluating.
[[nodiscard]] Samples measure_run(const Options& options, const CircuitPtr& circuit,
                                  std::size_t n) {
  const Inputs inputs = random_inputs(circuit->circuit, n);
  return measure(
      options,
      [&](Connection& connection) {
        auto session = std::make_shared<GarblerSession>(options.path);
        set_up(*session, connection);
        return [&, session] {
          transfer(*session->run(circuit, n, inputs.online, inputs.fixed), connection);
        };
      },
      [&](Connection& connection) {
        auto session = std::make_shared<EvaluatorSession>(options.path);
        set_up(*session, connection);
        return [&, session] { transfer(*session->run(circuit, n, inputs.evaluator), connection); };
      });
}

/// The online phase alone: tables are there already.
[[nodiscard]] Samples measure_online(const Options& options, const CircuitPtr& circuit,
                                     std::size_t n) {
  const Inputs inputs = random_inputs(circuit->circuit, n);
  return measure(
      options,
      [&](Connection& connection) {
        auto session = std::make_shared<GarblerSession>(options.path);
        set_up(*session, connection);
        auto batches = std::make_shared<std::vector<std::unique_ptr<GarblerBatch>>>();
        for (std::size_t i = 0; i <= options.repeat; ++i) {
          batches->push_back(session->prepare(circuit, n, inputs.fixed));
          transfer(*batches->back(), connection);
        }
        return [&, session, batches, next = std::size_t{0}]() mutable {
          online(*(*batches)[next++], inputs.online, connection);
        };
      },
      [&](Connection& connection) {
        auto session = std::make_shared<EvaluatorSession>(options.path);
        set_up(*session, connection);
        auto batches = std::make_shared<std::vector<std::unique_ptr<EvaluatorBatch>>>();
        for (std::size_t i = 0; i <= options.repeat; ++i) {
          batches->push_back(session->prepare(circuit, n));
          transfer(*batches->back(), connection);
        }
        return [&, session, batches, next = std::size_t{0}]() mutable {
          online(*(*batches)[next++], inputs.evaluator, connection);
        };
      });
}

/// Little but AND gates: products of a few inputs with sums in between.
[[nodiscard]] Circuit and_circuit(std::size_t gates) {
  Builder builder;
  Bits a = builder.input(InputKind::GarblerOnline, 32);
  const Bits b = builder.input(InputKind::Evaluator, 8);
  for (std::size_t i = 0; i < gates; ++i) {
    Bit& target = a[i % 32];
    target = builder.xor_(builder.and_(target, b[(i + i / 32) % 8]), a[(i + 1) % 32]);
  }
  builder.output(OutputKind::Evaluator, a);
  return builder.finish();
}

void relu_1080x47(const Options& options) {
  const auto circuit = std::make_shared<CompiledCircuit>(relu_circuit(47, 0));
  report("relu_1080x47", options, measure_run(options, circuit, 1080),
         std::to_string(1080 * circuit->circuit.and_count()) + " AND gates");
  const auto gates = std::make_shared<CompiledCircuit>(lower_shared_outputs(relu_circuit(47, 0)));
  report(
      "relu_1080x47_gates", options, measure_run(options, gates, 1080),
      std::to_string(1080 * gates->circuit.and_count()) + " AND gates; mask subtracted by gates");
  report("relu_1080x47_online", options, measure_online(options, circuit, 1080), "after prepare");
}

/// From the set-up of fresh sessions on, so that the seeds of the stocks count.
[[nodiscard]] Samples measure_lookups(const Options& options, const LookupPlan& plan, std::size_t n,
                                      Source source, const TreeShape& shape = kShallowTrees) {
  std::vector<Word> words(n);
  random_bytes(words.data(), n * sizeof(Word));
  return measure(
      options,
      [&](Connection& connection) {
        return [&] {
          HolderSession session(options.path, kSilent, shape);
          set_up(session, connection);
          run_lookups(session, plan, words, words, source, connection);
        };
      },
      [&](Connection& connection) {
        return [&] {
          ChooserSession session(options.path, kSilent, shape);
          set_up(session, connection);
          (void)run_lookups(session, plan, words, source, connection);
        };
      });
}

/// The ReLUs of a large layer, whole: garbled, and by table look-ups.
void large_layer(const Options& options, const std::string& name, std::size_t n) {
  Options few = options;
  few.repeat = std::max<std::size_t>(1, options.repeat / 20);
  const auto circuit = std::make_shared<CompiledCircuit>(relu_circuit(37, 12));
  report(name, options, measure_run(few, circuit, n), "garbled");
  const LookupPlan plan = relu_plan(37, 12, 37);
  const std::string rounds = std::to_string(plan.steps().size()) + " round trips a group of " +
                             std::to_string(kGroupInstances);
  report(name + "_lookups", options, measure_lookups(few, plan, n, Source::Stock),
         "silent transfers; set-up included; " + rounds);
  report(name + "_lookups_corrected", options, measure_lookups(few, plan, n, Source::Corrections),
         "checked corrections; set-up included; " + rounds);
  report(name + "_lookups_deep", options,
         measure_lookups(few, plan, n, Source::Corrections, kDeepTrees),
         "checked corrections of deep trees; set-up included; " + rounds);
}

void relu_100000x37(const Options& options) { large_layer(options, "relu_100000x37", 100'000); }
void relu_1000000x37(const Options& options) { large_layer(options, "relu_1000000x37", 1'000'000); }

void and_throughput(const Options& options) {
  constexpr std::size_t kInstances = 8192;
  const auto circuit = std::make_shared<CompiledCircuit>(and_circuit(512));
  const std::size_t gates = kInstances * circuit->circuit.and_count();
  Options fewer = options;
  fewer.repeat = std::max<std::size_t>(5, options.repeat / 5);
  const Samples samples = measure_run(fewer, circuit, kInstances);
  const double rate = static_cast<double>(gates) / quantile(samples.seconds, 0.5) / 1e6;
  char note[96];
  std::snprintf(note, sizeof note, "%zu AND gates; %.1f million/s", gates, rate);
  report("and_throughput", options, samples, note);
}

void argmax_10(const Options& options) {
  const auto circuit = std::make_shared<CompiledCircuit>(argmax_circuit(47, 10, 32));
  Options more = options;
  more.repeat = 10 * options.repeat;
  report("argmax_10", options, measure_run(more, circuit, 1),
         std::to_string(circuit->circuit.and_count()) + " AND gates; 47 bits");
  more.repeat = 2 * options.repeat;
  report("argmax_10_online", options, measure_online(more, circuit, 1), "after prepare");
}

void session_setup(const Options& options) {
  report("session_setup", options,
         measure(
             options,
             [&](Connection& connection) {
               return [&] {
                 GarblerSession session(options.path);
                 set_up(session, connection);
               };
             },
             [&](Connection& connection) {
               return [&] {
                 EvaluatorSession session(options.path);
                 set_up(session, connection);
               };
             }),
         "128 base transfers");
}

struct Benchmark {
  const char* name;
  void (*run)(const Options&);
  bool by_default = true;
};

constexpr Benchmark kBenchmarks[] = {{"relu_1080x47", relu_1080x47},
                                     {"and_throughput", and_throughput},
                                     {"argmax_10", argmax_10},
                                     {"session_setup", session_setup},
                                     {"transfers_softspoken4", transfers_softspoken4},
                                     {"transfers_softspoken8", transfers_softspoken8},
                                     {"transfers_silent", transfers_silent},
                                     {"relu_100000x37", relu_100000x37},
                                     {"relu_1000000x37", relu_1000000x37, false}};

[[nodiscard]] int usage() {
  std::cerr << "usage: bench_gc [--repeat N] [--path portable|aes-ni|vaes] [name ...]\n"
               "names: relu_1080x47 and_throughput argmax_10 session_setup transfers_softspoken4\n"
               "transfers_softspoken8 transfers_silent relu_100000x37 (all by default) and\n"
               "relu_1000000x37 (gigabytes, minutes)\n"
               "bytes_sent are the garbler's, bytes_received the evaluator's\n";
  return 2;
}

[[nodiscard]] bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--repeat" && i + 1 < argc) {
      const long value = std::strtol(argv[++i], nullptr, 10);
      if (value < 1 || value > 100000) return false;
      options.repeat = static_cast<std::size_t>(value);
    } else if (argument == "--path" && i + 1 < argc) {
      const std::string wanted = argv[++i];
      bool found = false;
      for (const Path path : {Path::Portable, Path::AesNi, Path::Vaes}) {
        if (wanted == path_name(path) && is_supported(path)) {
          options.path = path;
          found = true;
        }
      }
      if (!found) return false;
    } else {
      options.names.push_back(argument);
    }
  }
  return std::all_of(options.names.begin(), options.names.end(), [](const std::string& name) {
    return std::any_of(std::begin(kBenchmarks), std::end(kBenchmarks),
                       [&](const Benchmark& b) { return name == b.name; });
  });
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) return usage();
  std::printf("benchmark,implementation,n,median_s,p10_s,p90_s,bytes_sent,bytes_received,note\n");
  std::fflush(stdout);
  try {
    for (const Benchmark& benchmark : kBenchmarks) {
      const auto& names = options.names;
      if ((names.empty() && benchmark.by_default) ||
          std::find(names.begin(), names.end(), benchmark.name) != names.end()) {
        benchmark.run(options);
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "bench_gc: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
