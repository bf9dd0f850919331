#include "back_end.hpp"

#include "failures.hpp"

namespace capc::gc::programs {
namespace {

void require_words(const char* what, std::size_t given, std::size_t expected) {
  if (given != expected) {
    throw UsageError(std::to_string(given) + ' ' + what + " were given where the circuit takes " +
                     std::to_string(expected));
  }
}

}  // namespace

void require_fixed_words(Party party, const Circuit& circuit, std::size_t instances,
                         std::size_t fixed_words) {
  if (instances == 0) throw UsageError("a batch needs at least one instance");
  require_words("fixed words", fixed_words,
                party == Party::Garbler ? instances * circuit.fixed_words() : 0);
}

void require_share_words(Party party, const Circuit& circuit, const WordTable& shares) {
  if (shares.instances == 0) throw UsageError("a batch needs at least one instance");
  require_words("words an instance", shares.words,
                party == Party::Garbler ? circuit.online_words() : circuit.evaluator_words());
}

std::size_t out_words(Party party, const Circuit& circuit) {
  return party == Party::Garbler ? circuit.garbler_out_words() : circuit.evaluator_out_words();
}

}  // namespace capc::gc::programs
