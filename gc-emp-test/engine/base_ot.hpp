#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "block.hpp"
#include "secret.hpp"
#include "wire_format.hpp"

namespace capc::gc {

constexpr std::size_t kBaseTransfers = 128;
constexpr std::size_t kPointBytes = 65;  // an uncompressed point of P-256

/// 128 oblivious transfers of random keys over P-256 (Chou and Orlandi, "The Simplest Protocol for
/// Oblivious Transfer", LATINCRYPT 2015; keys hashed with the whole transcript). Secure
/// against a semi-honest peer and an eavesdropper under CDH, SHA-256 as a random oracle.
class BaseSender {
 public:
  BaseSender();
  ~BaseSender();
  /// First message: kPointBytes.
  void offer(Bytes out);
  /// Key pairs from the receiver's points (kBaseTransfers * kPointBytes). ProtocolError on a
  /// string that is not a point.
  void keys(ConstBytes points, SecretArray<Block>& zero, SecretArray<Block>& one);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class BaseReceiver {
 public:
  BaseReceiver();
  ~BaseReceiver();
  /// Answer to the sender's point: kBaseTransfers * kPointBytes. Bit i of `choices` chooses.
  void choose(ConstBytes offer, Block choices, Bytes out);
  /// The chosen keys. Needs no message: run it while the sender works.
  void keys(SecretArray<Block>& chosen);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace capc::gc
