#pragma once

// What a circuit program and the process that started it say to each other in session mode.
//
// Commands come on standard input, answers go to standard output. Everything is little-endian.
// A frame is a header of 8 bytes and a payload:
//
//   bytes 0-1  'C' 'G'
//   byte  2    version, now 1
//   byte  3    type, below
//   bytes 4-7  payload length in bytes, at most 256 MiB
//
// in   1 KEY       32 bytes: the key of the link, known to both programs and to nobody else.
//                  First frame of a session, once.
//      2 PREPARE   words: the garbler's fixed words, instances x fixed_words (0 words where it has
//                  none, and always on the evaluator's side). The offline phase.
//      3 EVALUATE  words: the shares, instances x words. The online phase of the batch that was
//                  prepared first and not evaluated yet.
//      4 CLOSE     empty.
// out 17 LISTENING 4 bytes: the port that the garbler's program took on 127.0.0.1
//     18 READY     traffic. The link stands and the session is set up.
//     19 PREPARED  traffic.
//     20 RESULT    traffic, then words: what this party learns, instances x words (perhaps 0).
//     21 CLOSED    traffic. The program ends with status 0.
//     31 ERROR     one line of text. The program ends with another status.
//
// words:   4 bytes instances, 4 bytes words an instance, then 8 bytes a word, row by row
// traffic: 8 bytes sent, 8 bytes received, 8 bytes rounds: since the start, on the link to the peer
//
// One answer to each command, in order; LISTENING (garbler) and READY follow KEY. When standard
// input ends the program ends at once, whatever it was doing.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "circuit.hpp"
#include "link.hpp"
#include "secret.hpp"

namespace capc::gc::programs {

enum class FrameType : std::uint8_t {
  Key = 1,
  Prepare = 2,
  Evaluate = 3,
  Close = 4,
  Listening = 17,
  Ready = 18,
  Prepared = 19,
  Result = 20,
  Closed = 21,
  Error = 31,
};

constexpr std::uint8_t kFrameVersion = 1;
constexpr std::size_t kFrameHeaderBytes = 8;
constexpr std::size_t kMaxFramePayload = std::size_t{1} << 28;

struct FrameHeader {
  FrameType type;
  std::size_t length;
};

/// The payload may be secret: it is erased at the end.
struct Frame {
  FrameType type;
  SecretArray<std::uint8_t> payload;

  [[nodiscard]] std::span<const std::uint8_t> bytes() const {
    return {payload.data(), payload.size()};
  }
};

/// Rows of words, one row an instance.
struct WordTable {
  std::size_t instances = 0;
  std::size_t words = 0;
  SecretArray<Word> values;

  [[nodiscard]] std::span<const Word> all() const { return {values.data(), values.size()}; }
};

/// Throws ProtocolError for anything but a command's header.
[[nodiscard]] FrameHeader decode_command_header(std::span<const std::uint8_t> header);

/// Throws ProtocolError unless the payload is a whole table and nothing else.
[[nodiscard]] WordTable decode_words(std::span<const std::uint8_t> payload);

/// The next command; OwnerGone where the input ends before or within it.
[[nodiscard]] Frame read_command(int fd);

void write_listening(int fd, std::uint16_t port);
void write_state(int fd, FrameType type, const Traffic& traffic);
void write_result(int fd, const Traffic& traffic, const WordTable& table);
void write_error(int fd, std::string_view line);

}  // namespace capc::gc::programs
