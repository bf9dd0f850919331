#pragma once

#include <atomic>
#include <cstdint>

#include "errors.hpp"
#include "layout.hpp"

namespace capc::gc {

// Set-up messages, evaluator -> garbler -> evaluator -> garbler.
constexpr std::size_t kStartBytes = 16;

/// Batches are prepared in the order in which they were begun: in each direction one after another.
class Turn {
 public:
  void require(std::uint64_t batch) const {
    if (batch != next_) throw StateError("it is another batch's turn to be prepared");
  }
  void pass() { ++next_; }

 private:
  std::uint64_t next_ = 0;
};

/// What both ends of a session count, in step: batches and tweaks.
class SessionClock {
 public:
  /// The first tweak of a new batch. Tweaks of a session never repeat: the counter only grows.
  [[nodiscard]] std::uint64_t reserve_tweaks(std::uint64_t count) {
    constexpr std::uint64_t kLimit = std::uint64_t{1} << 63U;
    if (count > kLimit - next_tweak_) {
      throw StateError("the session has used up its tweaks; open another");
    }
    const std::uint64_t first = next_tweak_;
    next_tweak_ += count;
    return first;
  }
  [[nodiscard]] std::uint64_t begin_batch() { return next_batch_++; }
  /// Prepared batches are used once each and in order.
  void consume(std::uint64_t batch) {
    if (batch < next_use_) throw StateError("the batch was used already, or after a later one");
    next_use_ = batch + 1;
  }

 private:
  std::uint64_t next_tweak_ = 0;
  std::uint64_t next_batch_ = 0;
  std::uint64_t next_use_ = 0;
};

/// Refuses a second thread in a session, which is a fault of the caller, instead of racing.
class Exclusive {
 public:
  explicit Exclusive(std::atomic_flag& flag) : flag_(flag) {
    if (flag_.test_and_set(std::memory_order_acquire)) {
      throw StateError("the session is used by two threads at once");
    }
  }
  Exclusive(const Exclusive&) = delete;
  Exclusive& operator=(const Exclusive&) = delete;
  ~Exclusive() { flag_.clear(std::memory_order_release); }

 private:
  std::atomic_flag& flag_;
};

}  // namespace capc::gc
