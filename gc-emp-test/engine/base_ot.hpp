#pragma once

#include <cstddef>
#include <memory>

#include "block.hpp"
#include "curve.hpp"
#include "secret.hpp"
#include "wire_format.hpp"

namespace capc::gc {

constexpr std::size_t kBaseTransfers = 128;

// 128 oblivious transfers of random keys over P-256: Naor and Pinkas, "Efficient Oblivious Transfer
// Protocols", SODA 2001, whose constant T is a hash of the session, as in Canetti, Sarkar and Wang,
// "Blazing Fast OT for Three-Round UC OT Extension", PKC 2020. The receiver's points b G + c T are
// uniform whatever c is, so a sender that deviates learns nothing of the choices; who programs the
// hash knows T's logarithm and so both keys of each transfer, which is the simulation. No receiver
// has both keys of a transfer, under CDH. Keys are hashed with the whole transcript and their
// index, so that one scalar of the sender serves all transfers.

/// The evaluator's side.
class BaseSender {
 public:
  BaseSender();
  ~BaseSender();
  /// First message: kPointBytes.
  void offer(Bytes out);
  /// Key pairs from the receiver's points (kBaseTransfers * kPointBytes) and the `session` that it
  /// drew. ProtocolError on a string that is not a point.
  void keys(Block session, ConstBytes points, SecretArray<Block>& zero, SecretArray<Block>& one);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The garbler's side.
class BaseReceiver {
 public:
  BaseReceiver();
  ~BaseReceiver();
  /// Answer to the sender's point: kBaseTransfers * kPointBytes. Bit i of `choices` chooses.
  /// `session` must be drawn after the offer is there, and is public.
  void choose(ConstBytes offer, Block session, Block choices, Bytes out);
  /// The chosen keys. Needs no message: run it while the sender works.
  void keys(SecretArray<Block>& chosen);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace capc::gc
