#include "bristol.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "builder.hpp"
#include "errors.hpp"

namespace capc::gc {
namespace {

constexpr std::uint64_t kMaxWires = std::uint64_t{1} << 26U;

/// Words of one line at a time; blank lines do not count.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool next() {
    while (!rest_.empty()) {
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      line_ = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++number_;
      skip_blanks();
      if (!line_.empty()) return true;
    }
    return false;
  }

  [[nodiscard]] std::string_view word() {
    if (line_.empty()) fail("the line is too short");
    const std::size_t end = std::min(line_.find_first_of(" \t\r"), line_.size());
    const std::string_view found = line_.substr(0, end);
    line_.remove_prefix(end);
    skip_blanks();
    return found;
  }

  [[nodiscard]] std::uint64_t number(std::uint64_t most) {
    const std::string_view text = word();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value > most) {
      fail(std::string(text) + " is no number from 0 to " + std::to_string(most));
    }
    return value;
  }

  void end_line() const {
    if (!line_.empty()) fail("the line is too long");
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw UsageError("Bristol Fashion, line " + std::to_string(number_) + ": " + what);
  }

 private:
  void skip_blanks() {
    line_.remove_prefix(std::min(line_.find_first_not_of(" \t\r"), line_.size()));
  }

  std::string_view rest_;
  std::string_view line_;
  std::size_t number_ = 0;
};

/// Widths of the input or the output values: their number, then each.
std::vector<std::size_t> read_widths(Lines& lines) {
  if (!lines.next()) lines.fail("the header ends too early");
  std::vector<std::size_t> widths(lines.number(kMaxWires));
  for (std::size_t& width : widths) {
    width = lines.number(kMaxWires);
    if (width == 0) lines.fail("a value has no bits");
  }
  lines.end_line();
  return widths;
}

class Reader {
 public:
  Reader(std::string_view text, std::span<const InputKind> owners) : lines_(text) {
    if (!lines_.next()) lines_.fail("there is no header");
    gates_ = lines_.number(kMaxWires);
    wires_.resize(lines_.number(kMaxWires));
    lines_.end_line();
    const std::vector<std::size_t> inputs = read_widths(lines_);
    outputs_ = read_widths(lines_);
    if (inputs.size() != owners.size()) {
      lines_.fail("it has " + std::to_string(inputs.size()) + " input values, and " +
                  std::to_string(owners.size()) + " owners are named");
    }
    std::size_t wire = 0;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      for (std::size_t first = 0; first < inputs[k]; first += 64) {
        const std::size_t width = std::min<std::size_t>(64, inputs[k] - first);
        for (const Bit bit : builder_.input(owners[k], width)) set(wire++, bit);
      }
    }
  }

  Circuit read(OutputKind kind) {
    for (std::uint64_t gate = 0; gate < gates_; ++gate) {
      if (!lines_.next()) lines_.fail("there are fewer gates than the header says");
      read_gate();
      lines_.end_line();
    }
    if (lines_.next()) lines_.fail("there are more lines than the header says");
    std::size_t total = 0;
    for (const std::size_t width : outputs_) total += width;
    if (total > wires_.size()) lines_.fail("there are fewer wires than outputs");
    std::size_t wire = wires_.size() - total;
    for (const std::size_t value : outputs_) {
      for (std::size_t first = 0; first < value; first += 64) {
        Bits word;
        for (std::size_t i = first; i < std::min(value, first + 64); ++i) {
          word.push_back(get(wire++));
        }
        builder_.output(kind, word);
      }
    }
    return builder_.finish();
  }

 private:
  void read_gate() {
    const std::uint64_t in = lines_.number(kMaxWires);
    const std::uint64_t out = lines_.number(kMaxWires);
    std::vector<std::uint64_t> ends(in + out);
    if (in + out > kMaxWires) lines_.fail("a gate has too many ends");
    for (std::uint64_t& wire : ends) wire = lines_.number(kMaxWires);
    const std::string_view name = lines_.word();
    if (name == "MAND" && in == 2 * out) {
      for (std::uint64_t i = 0; i < out; ++i) {
        set(ends[in + i], builder_.and_(get(ends[i]), get(ends[out + i])));
      }
    } else if (out == 1 && in == 2 && (name == "XOR" || name == "AND")) {
      const Bit a = get(ends[0]);
      const Bit b = get(ends[1]);
      set(ends[2], name == "XOR" ? builder_.xor_(a, b) : builder_.and_(a, b));
    } else if (out == 1 && in == 1 && (name == "INV" || name == "NOT")) {
      set(ends[1], builder_.not_(get(ends[0])));
    } else if (out == 1 && in == 1 && name == "EQW") {
      set(ends[1], get(ends[0]));
    } else if (out == 1 && in == 1 && name == "EQ" && ends[0] <= 1) {
      set(ends[1], Bit::constant(ends[0] == 1));
    } else {
      lines_.fail(std::string(name) + " with " + std::to_string(in) + " inputs and " +
                  std::to_string(out) + " outputs is no gate of this format");
    }
  }

  [[nodiscard]] Bit get(std::uint64_t wire) const {
    const std::optional<Bit> bit = wire < wires_.size() ? wires_[wire] : std::nullopt;
    if (!bit) lines_.fail("a wire is used before it is set");
    return *bit;
  }

  void set(std::uint64_t wire, Bit bit) {
    if (wire >= wires_.size() || wires_[wire]) lines_.fail("a wire is set twice or out of range");
    wires_[wire] = bit;
  }

  Lines lines_;
  Builder builder_;
  std::uint64_t gates_ = 0;
  std::vector<std::optional<Bit>> wires_;
  std::vector<std::size_t> outputs_;
};

void append_line(std::string& text, std::initializer_list<std::uint64_t> numbers,
                 std::string_view name) {
  for (const std::uint64_t number : numbers) text.append(std::to_string(number)).append(1, ' ');
  text += name;
  text += '\n';
}

void append_widths(std::string& text, const std::vector<std::size_t>& widths) {
  text += std::to_string(widths.size());
  for (const std::size_t width : widths) text.append(" ").append(std::to_string(width));
  text += '\n';
}

}  // namespace

std::string to_bristol(const Circuit& original) {
  const bool has_shared =
      std::any_of(original.outputs().begin(), original.outputs().end(),
                  [](const OutputWord& word) { return word.kind == OutputKind::Shared; });
  const Circuit circuit = has_shared ? lower_shared_outputs(original) : original;
  std::vector<std::size_t> in;
  std::vector<std::size_t> out;
  std::size_t output_bits = 0;
  for (const InputWord& word : circuit.inputs()) in.push_back(word.wires.size());
  for (const OutputWord& word : circuit.outputs()) {
    out.push_back(word.wires.size());
    output_bits += word.wires.size();
  }
  // The format wants the outputs last, in order, each a wire of its own.
  std::string body;
  for (const Gate& gate : circuit.gates()) {
    if (gate.kind == GateKind::Inv) {
      append_line(body, {1, 1, gate.a, gate.out}, "INV");
    } else {
      append_line(body, {2, 1, gate.a, gate.b, gate.out},
                  gate.kind == GateKind::And ? "AND" : "XOR");
    }
  }
  std::uint64_t next = circuit.wire_count();
  for (const OutputWord& word : circuit.outputs()) {
    for (const Wire wire : word.wires) append_line(body, {1, 1, wire, next++}, "EQW");
  }
  std::string text;
  text.append(std::to_string(circuit.gates().size() + output_bits)).append(1, ' ');
  text.append(std::to_string(next)).append(1, '\n');
  append_widths(text, in);
  append_widths(text, out);
  return text + '\n' + body;
}

Circuit from_bristol(std::string_view text, std::span<const InputKind> owners, OutputKind kind) {
  if (kind == OutputKind::Shared) throw UsageError("Bristol Fashion knows no shared outputs");
  return Reader(text, owners).read(kind);
}

}  // namespace capc::gc
