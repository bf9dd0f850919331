// The parts that circuit programs are made of: parsers, links with and without encryption, and the
// greeting. The Python tests run whole programs.

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../check.hpp"
#include "arguments.hpp"
#include "bytes.hpp"
#include "endpoint.hpp"
#include "failures.hpp"
#include "frames.hpp"
#include "integer_file.hpp"
#include "link.hpp"
#include "task.hpp"

using namespace capc::gc;
using namespace capc::gc::programs;

namespace {

using Buffer = std::vector<std::uint8_t>;
constexpr Seconds kLimit{5.0};

struct Ends {
  Descriptor left;
  Descriptor right;
};

Ends connected() {
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

Buffer some_bytes(std::size_t count) {
  Buffer bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(test::rng()());
  return bytes;
}

/// Bytes of many sizes there and back, across every buffer's edge.
void exchange(Link& left, Link& right) {
  for (const std::size_t size : {1UL, 7UL, 65535UL, 65536UL, 65537UL, 1000000UL}) {
    const Buffer there = some_bytes(size);
    const Buffer back = some_bytes(size / 2 + 1);
    std::thread peer([&] {
      Buffer heard(there.size());
      right.read({heard.data(), heard.size() / 3});
      right.read(std::span(heard).subspan(heard.size() / 3));
      CHECK(heard == there);
      right.write(back);
      right.flush();
    });
    left.write(there);
    Buffer heard(back.size());
    left.read(heard);  // sends what is still buffered first
    CHECK(heard == back);
    peer.join();
  }
  CHECK(left.traffic().bytes_sent == right.traffic().bytes_received);
  CHECK(right.traffic().bytes_sent == left.traffic().bytes_received);
  CHECK(left.traffic().rounds == 6);
}

void test_plain_link() {
  Ends ends = connected();
  Link left(plain_stream(std::move(ends.left), kNoOwner), kLimit);
  Link right(plain_stream(std::move(ends.right), kNoOwner), kLimit);
  exchange(left, right);
}

void test_link_that_ends_or_stays_silent() {
  std::array<std::uint8_t, 4> bytes{};
  {
    Ends ends = connected();
    Link left(plain_stream(std::move(ends.left), kNoOwner), kLimit);
    ends.right = Descriptor();
    CHECK_THROWS(ProtocolError, left.read(bytes));
  }
  Ends ends = connected();
  Link left(plain_stream(std::move(ends.left), kNoOwner), Seconds{0.05});
  CHECK_THROWS(ProtocolError, left.read(bytes));
}

void test_link_whose_owner_goes() {
  Ends ends = connected();
  int pipe_ends[2];
  CHECK(::pipe(pipe_ends) == 0);
  const Descriptor reading(pipe_ends[0]);
  Descriptor writing(pipe_ends[1]);
  Link left(plain_stream(std::move(ends.left), reading.get()), kLimit);
  std::thread owner([&] { writing = Descriptor(); });
  std::array<std::uint8_t, 4> bytes{};
  CHECK_THROWS(OwnerGone, left.read(bytes));
  owner.join();
}

struct TlsResult {
  std::unique_ptr<Stream> stream;
  std::string error;
};

TlsResult try_tls(Descriptor socket, Side side, const LinkKey& key) {
  try {
    return {tls_stream(std::move(socket), kNoOwner, side, key, Deadline(kLimit)), ""};
  } catch (const ProtocolError& error) {
    return {nullptr, error.what()};
  }
}

void test_tls(bool same_key) {
  Ends ends = connected();
  LinkKey left_key;
  LinkKey right_key;
  random_bytes(left_key.get(), kKeyBytes);
  std::memcpy(right_key.get(), left_key.get(), kKeyBytes);
  if (!same_key) right_key.get()[31] ^= 1;
  TlsResult server;
  std::thread peer([&] { server = try_tls(std::move(ends.left), Side::Server, left_key); });
  TlsResult client = try_tls(std::move(ends.right), Side::Client, right_key);
  peer.join();
  if (!same_key) {
    CHECK(client.stream == nullptr && server.stream == nullptr);
    CHECK(server.error.find("key") != std::string::npos);
    return;
  }
  Link left(std::move(server.stream), kLimit);
  Link right(std::move(client.stream), kLimit);
  exchange(left, right);
}

std::string what_agree_says(const Task& ours, const Task& theirs, Party their_party) {
  Ends ends = connected();
  Link left(plain_stream(std::move(ends.left), kNoOwner), kLimit);
  Link right(plain_stream(std::move(ends.right), kNoOwner), kLimit);
  std::thread peer([&] {
    try {
      agree(right, their_party, Mode::Files, theirs, build_circuit(theirs), "builtin");
    } catch (const ProtocolError&) {
    }
  });
  std::string said;
  try {
    agree(left, Party::Garbler, Mode::Files, ours, build_circuit(ours), "builtin");
  } catch (const ProtocolError& error) {
    said = error.what();
  }
  peer.join();
  return said;
}

void test_agreement() {
  const Task task{ProgramKind::Argmax, 16, 3, 32, false};
  CHECK(what_agree_says(task, task, Party::Evaluator).empty());
  CHECK(what_agree_says(task, task, Party::Garbler).find("party 1") != std::string::npos);
  Task other = task;
  other.classes = 4;
  CHECK(what_agree_says(task, other, Party::Evaluator).find("3 here and 4") != std::string::npos);
  other = task;
  other.ring_bits = 17;
  CHECK(what_agree_says(task, other, Party::Evaluator).find("--ring-bits") != std::string::npos);
  other = task;
  other.vote_shift = 8;
  CHECK(what_agree_says(task, other, Party::Evaluator).find("--vote-shift") != std::string::npos);
  other = {ProgramKind::SumHistogram, 64, 3, 32, false};
  CHECK(what_agree_says(task, other, Party::Evaluator).find("other circuit program") !=
        std::string::npos);
  Task threshold = other;
  threshold.with_threshold = true;
  CHECK(what_agree_says(other, threshold, Party::Evaluator).find("threshold") != std::string::npos);
}

Buffer table_bytes(std::uint64_t instances, std::uint64_t words, std::size_t bytes) {
  Buffer payload(8 + bytes, 0xA5);
  store_little(instances, {payload.data(), 4});
  store_little(words, {payload.data() + 4, 4});
  return payload;
}

void test_frames() {
  const Buffer good{'C', 'G', 1, 2, 16, 1, 0, 0};
  CHECK(decode_command_header(good).type == FrameType::Prepare);
  CHECK(decode_command_header(good).length == 272);
  for (const std::size_t at : {0UL, 1UL, 2UL, 3UL, 7UL}) {
    Buffer bad = good;
    bad[at] ^= 0x50;
    CHECK_THROWS(ProtocolError, static_cast<void>(decode_command_header(bad)));
  }
  CHECK_THROWS(ProtocolError, static_cast<void>(decode_command_header({good.data(), 7})));

  const WordTable table = decode_words(table_bytes(2, 3, 48));
  CHECK(table.instances == 2 && table.words == 3 && table.all().size() == 6);
  CHECK(table.all()[5] == 0xA5A5A5A5A5A5A5A5);
  CHECK(decode_words(table_bytes(7, 0, 0)).all().empty());
  CHECK_THROWS(ProtocolError, static_cast<void>(decode_words(table_bytes(2, 3, 47))));
  CHECK_THROWS(ProtocolError, static_cast<void>(decode_words(table_bytes(2, 3, 49))));
  CHECK_THROWS(ProtocolError, static_cast<void>(decode_words(Buffer(7))));
  // Products that would wrap to the right number of bytes in 32 or 64 bits.
  CHECK_THROWS(ProtocolError,
               static_cast<void>(decode_words(table_bytes(0x80000000, 0x20000000, 0))));
  CHECK_THROWS(ProtocolError,
               static_cast<void>(decode_words(table_bytes(0xFFFFFFFF, 0xFFFFFFFF, 8))));
}

void test_integer_edges() {
  const SecretArray<Word> numbers =
      parse_integers("1\n -2 \r\n18446744073709551615\n-9223372036854775808\n\t0\n\n \n", "f");
  CHECK(numbers.size() == 5);
  CHECK(numbers[0] == 1 && numbers[1] == ~Word{1} && numbers[2] == ~Word{0});
  CHECK(numbers[3] == Word{1} << 63U && numbers[4] == 0);
  CHECK(parse_integers("7", "f").size() == 1);
  for (const char* bad : {"", "\n", "1\n\n2", "1 2", "1.0", "0x10", "--1", "-", "1e3", "+1",
                          "18446744073709551616", "-9223372036854775809", "1\n2a\n"}) {
    CHECK_THROWS(SystemError, static_cast<void>(parse_integers(bad, "f")));
  }
}

Arguments parse(ProgramKind kind, std::vector<std::string> words) {
  return parse_arguments(kind, words);
}

void test_arguments() {
  const Arguments files = parse(ProgramKind::Argmax, {"2", "37000", "in", "out", "--timeout=1.5"});
  CHECK(files.party == Party::Evaluator && files.port == 37000 && files.mode == Mode::Files);
  CHECK(files.input == "in" && files.output == "out" && files.limit.count() == 1.5);
  CHECK(files.ring_bits == 64 && files.vote_bits == 32 && !files.classes);
  const Arguments session = parse(ProgramKind::Argmax, {"1", "0", "--session", "--ring-bits", "41",
                                                        "--classes", "10", "--vote-bits=16"});
  CHECK(session.mode == Mode::Session && session.ring_bits == 41 && session.vote_bits == 16);
  const Arguments votes = parse(ProgramKind::SumHistogram, {"1", "9", "in", "--threshold=-5"});
  CHECK(votes.with_threshold && votes.threshold == -5 && votes.output.empty());
  CHECK(parse(ProgramKind::Argmax, {"1", "--help", "--nonsense"}).request == Request::Help);
}

void test_options_that_do_not_belong() {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"1"},
      {"2", "1", "in"},
      {"0", "1", "in", "out"},
      {"1", "-1", "in", "out"},
      {"1", "99999", "in", "out"},
      {"1", "1x", "in", "out"},
      {"1", "1", "in", "out", "--ring-bits=0"},
      {"1", "1", "in", "out", "--timeout=nan"},
      {"1", "1", "in", "out", "--timeout=1e9"},
      {"1", "1", "in", "out", "--classes="},
      {"1", "1", "--session", "--classes=3"},
      {"1", "1", "--session", "--ring-bits=3"},
      {"1", "1", "in", "--session", "--classes=3", "--ring-bits=3"},
      {"1", "1", "--session", "--classes=3", "--ring-bits=3", "--key-file=k"},
  };
  for (const auto& words : wrong) {
    CHECK_THROWS(UsageError, static_cast<void>(parse(ProgramKind::Argmax, words)));
  }
  CHECK_THROWS(UsageError, static_cast<void>(parse(ProgramKind::SumHistogram, {"2", "1", "in"})));
  CHECK_THROWS(UsageError, static_cast<void>(parse(ProgramKind::SumHistogram,
                                                   {"1", "1", "in", "--with-threshold"})));
}

void test_endpoint() {
  const Listener listener(0);
  CHECK(listener.port() != 0);
  CHECK_THROWS(SystemError, Listener(listener.port()));
  CHECK_THROWS(ProtocolError,
               static_cast<void>(listener.accept(Deadline(Seconds{0.02}), kNoOwner)));
  const Descriptor there =
      connect_to("127.0.0.1", listener.port(), Absent::Fail, Deadline(kLimit), kNoOwner);
  CHECK(listener.accept(Deadline(kLimit), kNoOwner).is_open());
  CHECK_THROWS(UsageError, static_cast<void>(connect_to("localhost", 1, Absent::Fail,
                                                        Deadline(kLimit), kNoOwner)));
  CHECK_THROWS(ProtocolError, static_cast<void>(connect_to("127.0.0.1", 1, Absent::Retry,
                                                           Deadline(Seconds{0.02}), kNoOwner)));
}

}  // namespace

int main() {
  return test::run_tests([] {
    std::signal(SIGPIPE, SIG_IGN);  // as the programs do
    test_plain_link();
    test_link_that_ends_or_stays_silent();
    test_link_whose_owner_goes();
    test_tls(true);
    test_tls(false);
    test_agreement();
    test_frames();
    test_integer_edges();
    test_arguments();
    test_options_that_do_not_belong();
    test_endpoint();
  });
}
