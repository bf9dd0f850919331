#pragma once

#include <exception>
#include <stdexcept>

#include "errors.hpp"

namespace capc::gc::programs {

/// A file, a port or a pipe that cannot be used as given.
class SystemError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Whoever started the session closed our standard input: nobody waits for a result any more.
class OwnerGone : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "standard input was closed"; }
};

}  // namespace capc::gc::programs
