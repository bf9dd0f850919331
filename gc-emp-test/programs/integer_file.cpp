#include "integer_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <vector>

#include "descriptor.hpp"
#include "failures.hpp"

namespace capc::gc::programs {
namespace {

[[noreturn]] void fail_line(const std::string& name, std::size_t line) {
  throw SystemError(name + ":" + std::to_string(line) +
                    ": not an integer between -2^63 and 2^64 - 1; one a line is needed");
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool parse_integer(std::string_view text, Word& value) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  if (text.starts_with('-')) {
    std::int64_t negative = 0;
    const auto [stop, error] = std::from_chars(begin, end, negative);
    value = static_cast<Word>(negative);
    return error == std::errc{} && stop == end;
  }
  const auto [stop, error] = std::from_chars(begin, end, value);
  return error == std::errc{} && stop == end;
}

}  // namespace

SecretArray<Word> parse_integers(std::string_view text, const std::string& name) {
  std::size_t lines = 0;
  for (const char character : text) lines += character == '\n' ? 1 : 0;
  SecretArray<Word> values(lines + 1);
  std::size_t count = 0;
  std::size_t empty_line = 0;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t end = text.find('\n');
    const std::string_view content = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (content.empty()) {
      if (empty_line == 0) empty_line = line;
      continue;
    }
    if (empty_line != 0) fail_line(name, empty_line);
    if (!parse_integer(content, values[count])) fail_line(name, line);
    ++count;
  }
  if (count == 0) throw SystemError(name + " holds no numbers; one integer a line is needed");
  SecretArray<Word> exact(count);
  for (std::size_t i = 0; i < count; ++i) exact[i] = values[i];
  return exact;
}

SecretArray<Word> read_integer_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) throw SystemError(with_reason("cannot read " + path, errno));
  SecretArray<std::uint8_t> text(kMaxFileBytes + 1);
  const std::size_t count = read_fully(file.get(), {text.data(), text.size()});
  if (count > kMaxFileBytes) throw SystemError(path + " is longer than 4 MiB");
  return parse_integers({reinterpret_cast<const char*>(text.data()), count}, path);
}

OutputFile::OutputFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".XXXXXX") {
  // mkstemp makes a new file that its owner alone can read.
  fd_ = ::mkstemp(temporary_.data());
  if (fd_ < 0) throw SystemError(with_reason("cannot write " + path_, errno));
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) {
    ::close(fd_);
    ::unlink(temporary_.c_str());
  }
}

void OutputFile::write(std::span<const std::int64_t> values) {
  std::string text;
  for (const std::int64_t value : values) text += std::to_string(value) + '\n';
  write_fully(fd_, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, path_);
  const bool closed = ::close(fd_) == 0;
  fd_ = -1;
  if (!closed || std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int reason = errno;
    ::unlink(temporary_.c_str());
    throw SystemError(with_reason("cannot write " + path_, reason));
  }
}

}  // namespace capc::gc::programs
