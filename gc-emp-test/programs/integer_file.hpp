#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "circuit.hpp"
#include "secret.hpp"

namespace capc::gc::programs {

constexpr std::size_t kMaxFileBytes = std::size_t{4} << 20U;

/// The integers in `text`, one a line, modulo 2^64. Allowed are -2^63 to 2^64 - 1, spaces round a
/// number, any line ending and empty lines at the end. SystemError names the line of `name`, and
/// never shows what stands there: it may be secret.
[[nodiscard]] SecretArray<Word> parse_integers(std::string_view text, const std::string& name);

/// parse_integers of a file of at most kMaxFileBytes.
[[nodiscard]] SecretArray<Word> read_integer_file(const std::string& path);

/// A file that appears at its name whole, with its last byte, or not at all; its owner alone can
/// read it.
class OutputFile {
 public:
  /// SystemError where nothing can be written there.
  explicit OutputFile(std::string path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// One integer a line.
  void write(std::span<const std::int64_t> values);

 private:
  std::string path_;
  std::string temporary_;
  int fd_ = -1;
};

}  // namespace capc::gc::programs
