#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "back_end.hpp"
#include "endpoint.hpp"
#include "failures.hpp"
#include "integer_file.hpp"
#include "modes.hpp"

namespace capc::gc::programs {
namespace {

/// The words that one party puts into the circuit, from its file.
struct Inputs {
  WordTable shares{1, 0, {}};
  SecretArray<Word> fixed;
};

std::size_t classes_of(const Arguments& arguments, std::size_t lines) {
  const bool two_per_class = arguments.with_threshold && arguments.party == Party::Garbler;
  if (two_per_class && lines % 2 != 0) {
    throw UsageError(arguments.input + " has " + std::to_string(lines) +
                     " lines; with --threshold party 1 needs two for each class");
  }
  const std::size_t classes = two_per_class ? lines / 2 : lines;
  if (arguments.classes && *arguments.classes != classes) {
    throw UsageError(arguments.input + " has lines for " + std::to_string(classes) +
                     " classes and --classes is " + std::to_string(*arguments.classes));
  }
  return classes;
}

void reduce(std::span<Word> words, std::size_t bits) {
  for (Word& word : words) word = low_bits(word, bits);
}

Inputs make_inputs(const Task& task, const Arguments& arguments, SecretArray<Word> numbers) {
  Inputs inputs;
  if (task.with_threshold && arguments.party == Party::Garbler) {
    for (std::size_t j = task.classes; j < numbers.size(); ++j) {
      numbers[j] -= static_cast<Word>(arguments.threshold);
    }
  }
  const bool is_argmax = task.kind == ProgramKind::Argmax;
  reduce({numbers.data(), numbers.size()}, is_argmax ? task.ring_bits : task.vote_bits);
  inputs.shares.words = numbers.size();
  inputs.shares.values = std::move(numbers);
  if (is_argmax && arguments.party == Party::Garbler) {
    inputs.fixed = SecretArray<Word>(task.classes);
    random_bytes(inputs.fixed.data(), task.classes * sizeof(Word));
    reduce({inputs.fixed.data(), task.classes}, task.vote_bits);
  }
  return inputs;
}

void load_key(const std::string& path, LinkKey& key) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = {};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0) {
    throw SystemError(with_reason("cannot read " + path, errno));
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    throw SystemError(path + " is open to other users; chmod 600 it");
  }
  std::uint8_t excess = 0;
  if (read_fully(file.get(), key.get()) != kKeyBytes || read_fully(file.get(), {&excess, 1}) != 0) {
    throw SystemError(path + " does not hold exactly 32 bytes; make it with: openssl rand -out " +
                      path + " 32");
  }
}

std::unique_ptr<Stream> open_stream(const Arguments& arguments) {
  const Deadline deadline(arguments.limit);
  LinkKey key;
  if (!arguments.key_file.empty()) load_key(arguments.key_file, key);
  if (arguments.party == Party::Garbler) {
    const Listener listener(arguments.port);
    std::printf("listening on 127.0.0.1:%u\n", static_cast<unsigned>(listener.port()));
    std::fflush(stdout);
    if (!arguments.key_file.empty()) return listener.accept_with_key(key, deadline, kNoOwner);
    return plain_stream(listener.accept(deadline, kNoOwner), kNoOwner);
  }
  Descriptor socket = connect_to(arguments.host, arguments.port, Absent::Retry, deadline, kNoOwner);
  if (arguments.key_file.empty()) return plain_stream(std::move(socket), kNoOwner);
  return tls_stream(std::move(socket), kNoOwner, Side::Client, key, deadline);
}

/// The lines that this party writes.
std::vector<std::int64_t> lines_of(const Task& task, Party party, const Inputs& inputs,
                                   const WordTable& learnt) {
  std::vector<std::int64_t> lines;
  if (task.kind == ProgramKind::Argmax) {
    const SecretArray<Word>& share = party == Party::Garbler ? inputs.fixed : learnt.values;
    for (std::size_t j = 0; j < share.size(); ++j) {
      lines.push_back(static_cast<std::int64_t>(share[j]));
    }
  } else if (party == Party::Garbler) {
    if (task.with_threshold) lines.push_back(static_cast<std::int64_t>(learnt.values[0]));
  } else {
    const bool answered = !task.with_threshold || learnt.values[0] == 1;
    lines.push_back(answered ? static_cast<std::int64_t>(learnt.values[learnt.words - 1]) : -1);
  }
  return lines;
}

}  // namespace

void run_with_files(ProgramKind kind, const Arguments& arguments) {
  SecretArray<Word> numbers = read_integer_file(arguments.input);
  const Task task{kind,
                  arguments.ring_bits,
                  classes_of(arguments, numbers.size()),
                  arguments.vote_bits,
                  arguments.with_threshold,
                  arguments.vote_shift};
  Circuit circuit = build_circuit(task);
  const Inputs inputs = make_inputs(task, arguments, std::move(numbers));
  const bool writes =
      !arguments.output.empty() &&
      (kind == ProgramKind::Argmax || arguments.party == Party::Evaluator || task.with_threshold);
  std::optional<OutputFile> output;
  if (writes) output.emplace(arguments.output);

  Link link(open_stream(arguments), arguments.limit);
  agree(link, arguments.party, Mode::Files, task, circuit, back_end_name());
  const auto back_end = make_back_end(arguments.party, std::move(circuit), link);
  back_end->set_up();
  const WordTable learnt = back_end->run(inputs.shares, {inputs.fixed.data(), inputs.fixed.size()});
  if (writes) output->write(lines_of(task, arguments.party, inputs, learnt));
}

}  // namespace capc::gc::programs
