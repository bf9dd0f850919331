#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "errors.hpp"

namespace capc::gc {

using Bytes = std::span<std::uint8_t>;
using ConstBytes = std::span<const std::uint8_t>;

enum class MessageType : std::uint8_t {
  SetupOffer = 1,   ///< evaluator: the base transfers' first point
  SetupChoice = 2,  ///< garbler: the hash's start, and one point per bit of its difference
  SetupTrees = 3,   ///< evaluator: the masked sums of its seed trees, and their check
  Choice = 4,       ///< evaluator: corrections of the extension for one chunk, and their check
  Tables = 5,       ///< garbler: one garbled chunk
  Masked = 6,       ///< evaluator: its inputs minus the prepared ones
  Labels = 7,       ///< garbler: active labels of its online inputs
  Return = 8,       ///< evaluator: active labels of the garbler's outputs

  LookupOffer = 9,     ///< chooser: the first point of the base transfers
  LookupChoice = 10,   ///< holder: the hash's start, its points, the first point of those back
  LookupAnswer = 11,   ///< chooser: its trees, and its points for the transfers back
  LookupTrees = 12,    ///< holder: the trees of the transfers back
  CorrelateBack = 13,  ///< holder: corrections of a batch's transfers back, and their check
  Correlate = 14,      ///< chooser: corrections of the extension for one chunk, and their check
  Choose = 15,         ///< chooser: where one step's entries stand, less its random choices
  Table = 16,          ///< holder: one step's tables

  StockSeeds = 17,  ///< receiver of silent transfers: corrections of the first round's inputs
  StockTrees = 18,  ///< sender: the masked sums of a round's trees
  StockPoint = 19,  ///< receiver: where the check is to be made
  StockProof = 20,  ///< sender: what the check finds
};

/// Stands before every message: 40 bytes, little-endian.
struct Header {
  static constexpr std::uint32_t kMagic = 0x31434743;  // "CGC1"
  static constexpr std::uint8_t kVersion = 3;
  std::uint32_t magic = kMagic;
  std::uint8_t version = kVersion;
  MessageType type = MessageType::SetupOffer;
  std::uint16_t reserved = 0;
  std::uint64_t batch = 0;
  std::uint64_t circuit = 0;
  std::uint64_t instances = 0;
  std::uint64_t chunk = 0;

  friend bool operator==(const Header&, const Header&) = default;
};
static_assert(sizeof(Header) == 40 && std::is_trivially_copyable_v<Header>);

constexpr std::size_t kHeaderBytes = sizeof(Header);

/// Reads a message; every read past its end throws ProtocolError.
class Reader {
 public:
  explicit Reader(ConstBytes message) : rest_(message) {}

  [[nodiscard]] ConstBytes take(std::size_t count) {
    if (count > rest_.size()) throw ProtocolError("a circuit message is too short");
    const ConstBytes taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  template <class T>
  [[nodiscard]] T value() {
    static_assert(std::is_trivially_copyable_v<T>);
    T result;
    std::memcpy(&result, take(sizeof(T)).data(), sizeof(T));
    return result;
  }
  void finish() const {
    if (!rest_.empty()) throw ProtocolError("a circuit message is too long");
  }

 private:
  ConstBytes rest_;
};

/// Writes a message of a size known before.
class Writer {
 public:
  explicit Writer(Bytes out) : rest_(out) {}

  [[nodiscard]] Bytes take(std::size_t count) {
    if (count > rest_.size()) throw UsageError("the output buffer is too small");
    const Bytes taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  template <class T>
  void value(const T& v) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::memcpy(take(sizeof(T)).data(), &v, sizeof(T));
  }

 private:
  Bytes rest_;
};

/// The body of a message whose whole header is known beforehand.
[[nodiscard]] inline ConstBytes open_message(ConstBytes message, const Header& expected,
                                             std::size_t body_bytes) {
  Reader reader(message);
  const auto header = reader.value<Header>();
  if (header.magic != expected.magic) {
    throw ProtocolError("the peer does not speak the circuit protocol");
  }
  if (header.version != expected.version) {
    throw ProtocolError("the peer speaks version " + std::to_string(header.version) +
                        " of the circuit protocol, and this program version " +
                        std::to_string(expected.version));
  }
  if (header.type != expected.type) throw ProtocolError("a circuit message came out of order");
  if (header.circuit != expected.circuit || header.instances != expected.instances) {
    throw ProtocolError(
        "the peer runs another circuit, another number of instances or other seed trees");
  }
  if (header != expected) throw ProtocolError("a circuit message belongs to another batch");
  const ConstBytes body = reader.take(body_bytes);
  reader.finish();
  return body;
}

}  // namespace capc::gc
