#pragma once

#include <stdexcept>

namespace capc::gc {

/// The peer sent what the protocol does not allow.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller asked for what cannot be done: a width, a count or an argument out of range.
class UsageError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A call out of order: a batch used twice, a session used before its set-up.
class StateError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace capc::gc
