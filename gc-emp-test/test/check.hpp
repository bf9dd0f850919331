#pragma once

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <random>
#include <string>
#include <vector>

// A test is a program that ends with 0. CHECK reports the line and ends it with 1.
#define CHECK(condition)                                                               \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #condition << " is false\n"; \
      std::exit(1);                                                                    \
    }                                                                                  \
  } while (false)

#define CHECK_THROWS(type, statement)                                                             \
  do {                                                                                            \
    bool thrown = false;                                                                          \
    try {                                                                                         \
      statement;                                                                                  \
    } catch (const type&) {                                                                       \
      thrown = true;                                                                              \
    }                                                                                             \
    if (!thrown) {                                                                                \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #statement << " throws no " #type "\n"; \
      std::exit(1);                                                                               \
    }                                                                                             \
  } while (false)

namespace capc::gc::test {

/// Runs the tests: an exception that nothing catches is printed and ends them with 1.
template <class Tests>
[[nodiscard]] int run_tests(Tests tests) {
  try {
    tests();
  } catch (const std::exception& error) {
    std::cerr << "uncaught exception: " << error.what() << "\n";
    return 1;
  }
  return 0;
}

/// Reproducible inputs; secrets of the engine itself always come from the system.
inline std::mt19937_64& rng() {
  static std::mt19937_64 generator{20210503};
  return generator;
}

inline std::vector<std::uint64_t> random_words(std::size_t count) {
  std::vector<std::uint64_t> words(count);
  for (auto& word : words) word = rng()();
  return words;
}

}  // namespace capc::gc::test
