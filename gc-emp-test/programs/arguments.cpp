#include "arguments.hpp"

#include <charconv>
#include <cmath>

#include "failures.hpp"

namespace capc::gc::programs {
namespace {

constexpr double kMaxSeconds = 86400.0;

std::uint64_t parse_number(const std::string& name, const std::string& text, std::uint64_t low,
                           std::uint64_t high) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < low || value > high) {
    throw UsageError(name + " is '" + text + "'; allowed are " + std::to_string(low) + " to " +
                     std::to_string(high));
  }
  return value;
}

std::int64_t parse_signed(const std::string& name, const std::string& text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) {
    throw UsageError(name + " is '" + text + "'; an integer is needed");
  }
  return value;
}

Seconds parse_seconds(const std::string& name, const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || !std::isfinite(value) || value <= 0 ||
      value > kMaxSeconds) {
    throw UsageError(name + " is '" + text + "'; allowed are seconds above 0, up to a day");
  }
  return Seconds{value};
}

/// Splits the words into options, handled as they come, and positions.
class Parser {
 public:
  Parser(ProgramKind kind, std::span<const std::string> words) : kind_(kind), words_(words) {}

  Arguments parse() {
    while (at_ < words_.size() && arguments_.request == Request::Run) {
      const std::string& word = words_[at_++];
      if (word.size() > 1 && word.starts_with("-")) {
        take_option(word);
      } else {
        positions_.push_back(word);
      }
    }
    if (arguments_.request == Request::Run) {
      take_positions();
      check();
    }
    return arguments_;
  }

 private:
  void take_option(const std::string& word) {
    const std::size_t equals = word.find('=');
    name_ = word.substr(0, equals);
    inline_value_.reset();
    if (equals != std::string::npos) inline_value_ = word.substr(equals + 1);
    if (name_ == "--help" || name_ == "-h") {
      arguments_.request = Request::Help;
    } else if (name_ == "--version") {
      arguments_.request = Request::Version;
    } else if (name_ == "--session") {
      arguments_.mode = Mode::Session;
    } else if (name_ == "--with-threshold") {
      arguments_.with_threshold = true;
    } else if (name_ == "--threshold") {
      arguments_.threshold = parse_signed(name_, value());
      has_threshold_ = arguments_.with_threshold = true;
    } else if (name_ == "--ring-bits") {
      arguments_.ring_bits = parse_number(name_, value(), 1, 64);
      has_ring_ = true;
    } else if (name_ == "--vote-bits") {
      arguments_.vote_bits = parse_number(name_, value(), 2, 64);
    } else if (name_ == "--vote-shift") {
      arguments_.vote_shift = parse_number(name_, value(), 0, 63);
      has_vote_shift_ = true;
    } else if (name_ == "--classes") {
      arguments_.classes = parse_number(name_, value(), 1, 65536);
    } else if (name_ == "--timeout") {
      arguments_.limit = parse_seconds(name_, value());
    } else if (name_ == "--host") {
      arguments_.host = value();
      has_host_ = true;
    } else if (name_ == "--key-file") {
      arguments_.key_file = value();
    } else {
      throw UsageError("there is no option " + name_ + "; see --help");
    }
  }

  std::string value() {
    if (inline_value_) return *inline_value_;
    if (at_ == words_.size()) throw UsageError(name_ + " needs a value");
    return words_[at_++];
  }

  void take_positions() {
    const bool files = arguments_.mode == Mode::Files;
    const std::size_t least = files ? 3 : 2;
    const std::size_t most = files ? 4 : 2;
    if (positions_.size() < least || positions_.size() > most) {
      throw UsageError(std::to_string(positions_.size()) + " positional arguments were given; " +
                       (files ? "party, port, input file and perhaps an output file are needed"
                              : "--session takes party and port") +
                       "; see --help");
    }
    arguments_.party = static_cast<Party>(parse_number("the party", positions_[0], 1, 2));
    const std::uint64_t lowest_port = arguments_.party == Party::Garbler ? 0 : 1;
    arguments_.port =
        static_cast<std::uint16_t>(parse_number("the port", positions_[1], lowest_port, 65535));
    if (files) {
      arguments_.input = positions_[2];
      if (positions_.size() == 4) arguments_.output = positions_[3];
    }
  }

  void check() const {
    const bool session = arguments_.mode == Mode::Session;
    if (session && !arguments_.classes) throw UsageError("--session needs --classes");
    if (session && kind_ == ProgramKind::Argmax && !has_ring_) {
      throw UsageError("--session needs --ring-bits");
    }
    if (session && !arguments_.key_file.empty()) {
      throw UsageError("--key-file is for files; a session gets its key on standard input");
    }
    if (has_ring_ && kind_ == ProgramKind::SumHistogram) {
      throw UsageError("sum_histogram adds votes: it takes --vote-bits and no --ring-bits");
    }
    if (has_vote_shift_ && kind_ == ProgramKind::SumHistogram) {
      throw UsageError("--vote-shift is for argmax_1, which makes the votes");
    }
    if (arguments_.vote_shift >= arguments_.vote_bits) {
      throw UsageError("--vote-shift is " + std::to_string(arguments_.vote_shift) +
                       "; it has to be below --vote-bits");
    }
    if (arguments_.with_threshold && kind_ == ProgramKind::Argmax) {
      throw UsageError("argmax_1 has no threshold; sum_histogram has");
    }
    if (session && has_threshold_) {
      throw UsageError("--threshold is for files; a session takes --with-threshold");
    }
    if (!session && arguments_.with_threshold && !has_threshold_) {
      throw UsageError("--with-threshold is for sessions; with files give --threshold");
    }
    if (has_host_ && arguments_.party == Party::Garbler) {
      throw UsageError("--host is for party 2; party 1 listens on 127.0.0.1");
    }
    if (!session && kind_ == ProgramKind::Argmax && arguments_.party == Party::Garbler &&
        arguments_.output.empty()) {
      throw UsageError("party 1 draws a vote share and needs an output file to write it to");
    }
    if (!session && kind_ == ProgramKind::Argmax && arguments_.output.empty()) {
      throw UsageError(
          "party 2 gets the other vote share, without which no label can be found, and needs an "
          "output file to write it to");
    }
    if (!session && kind_ == ProgramKind::SumHistogram && arguments_.party == Party::Evaluator &&
        arguments_.output.empty()) {
      throw UsageError("party 2 needs an output file to write the label to");
    }
  }

  ProgramKind kind_;
  std::span<const std::string> words_;
  std::size_t at_ = 0;
  Arguments arguments_;
  std::vector<std::string> positions_;
  std::string name_;
  std::optional<std::string> inline_value_;
  bool has_ring_ = false;
  bool has_host_ = false;
  bool has_threshold_ = false;
  bool has_vote_shift_ = false;
};

constexpr const char* kArgmaxHelp =
    R"(argmax_1: shares of the one-hot argmax of a shared vector, by a garbled circuit (step 1c)

  argmax_1 1 PORT NOISE_FILE OUTPUT_FILE      listens on 127.0.0.1 and garbles
  argmax_1 2 PORT LOGIT_FILE OUTPUT_FILE      connects and evaluates
  argmax_1 1|2 PORT --session --ring-bits L --classes C     commands on standard input

Files hold one integer a line, as many lines as classes. Line j of both added up, modulo
2^ring-bits and read as a signed number, is logit j: party 1 gives r_j, party 2 z_j - r_j. The
output files hold a line for each class too: party 1's a fresh random share, party 2's the other
one. Added modulo 2^vote-bits they are 1 for the largest logit (the lowest class among equal ones)
and 0 elsewhere. Neither side learns anything else.

  --ring-bits L    the shares' modulus is 2^L, 1 to 64 (default 64)
  --vote-bits V    the outputs' modulus is 2^V, 2 to 64 (default 32)
  --vote-shift S   a vote counts 2^S in place of 1, S below V (default 0)
)";

constexpr const char* kSumHistogramHelp =
    R"(sum_histogram: the class with the most noisy votes, by a garbled circuit (step 3)

  sum_histogram 1 PORT NOISE_FILE [OUTPUT_FILE]    listens on 127.0.0.1 and garbles
  sum_histogram 2 PORT VOTE_FILE OUTPUT_FILE       connects and evaluates
  sum_histogram 1|2 PORT --session --classes C [--with-threshold]    commands on standard input

Files hold one integer a line. With C classes party 2 gives its C shares of the votes; party 1 its
own C shares, each plus that class's noise. Line j of both added up, modulo 2^vote-bits and read as
a signed number, is the noisy vote of class j. Party 2 writes the class with the most (the lowest
among equal ones). Neither side learns anything else.

With --threshold T, given to both programs, party 1 adds C lines more: its shares again, each plus
the one noise of the threshold. Only where some vote plus that noise reaches T is the query
answered. Party 2 then writes the label, or -1 where it is not answered; party 1 writes 1 or 0.

  --threshold T    see above; an integer (files only)
  --with-threshold the same for a session, whose party 1 feeds that noise minus T
  --vote-bits V    the votes' modulus is 2^V, 2 to 64 (default 32)
)";

constexpr const char* kCommonHelp =
    R"(  --classes C      number of classes; with files it is checked against their lines
  --timeout S      seconds to wait for the peer each time (default 60)
  --host ADDRESS   where party 1 listens, for party 2 (default 127.0.0.1)
  --key-file FILE  32 secret bytes that both sides hold: the link is then TLS 1.3. Without it the
                   link is not encrypted (files only; a session's link always is)
  --version, --help

Exit status: 0 done; 1 the peer or a file failed; 2 wrong arguments; 3 standard input was closed
before the session was.

Example, in two terminals:
)";

}  // namespace

Arguments parse_arguments(ProgramKind kind, std::span<const std::string> words) {
  return Parser(kind, words).parse();
}

std::string program_name(ProgramKind kind) {
  return kind == ProgramKind::Argmax ? "argmax_1" : "sum_histogram";
}

std::string help_text(ProgramKind kind) {
  if (kind == ProgramKind::Argmax) {
    return std::string(kArgmaxHelp) + kCommonHelp +
           "  printf '5\\n-3\\n8\\n' >noise.txt;  argmax_1 1 37000 noise.txt share1.txt\n"
           "  printf '1\\n9\\n-7\\n' >logits.txt; argmax_1 2 37000 logits.txt share2.txt\n";
  }
  return std::string(kSumHistogramHelp) + kCommonHelp +
         "  printf '5\\n-3\\n8\\n' >noise.txt;  sum_histogram 1 37000 noise.txt\n"
         "  printf '1\\n9\\n-7\\n' >votes.txt;  sum_histogram 2 37000 votes.txt label.txt\n";
}

}  // namespace capc::gc::programs
