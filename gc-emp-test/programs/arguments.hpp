#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "descriptor.hpp"
#include "task.hpp"

namespace capc::gc::programs {

enum class Request : std::uint8_t { Run, Help, Version };

/// What a command line asks for. Nothing in it is secret.
struct Arguments {
  Request request = Request::Run;
  Mode mode = Mode::Files;
  Party party = Party::Garbler;
  std::uint16_t port = 0;
  std::string host = "127.0.0.1";
  std::string input;
  std::string output;
  std::string key_file;
  Seconds limit{60.0};
  std::size_t ring_bits = 64;
  std::size_t vote_bits = 32;
  std::size_t vote_shift = 0;
  std::optional<std::size_t> classes;
  bool with_threshold = false;
  std::int64_t threshold = 0;
};

/// UsageError, in one line that says what is wrong and what is allowed.
[[nodiscard]] Arguments parse_arguments(ProgramKind kind, std::span<const std::string> words);

[[nodiscard]] std::string program_name(ProgramKind kind);
[[nodiscard]] std::string help_text(ProgramKind kind);

}  // namespace capc::gc::programs
