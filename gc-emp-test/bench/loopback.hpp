#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace capc::gc::bench {

using Message = std::vector<std::uint8_t>;

/// A connected TCP socket that moves exact numbers of bytes and counts them.
class Connection {
 public:
  explicit Connection(int descriptor);
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&&) = delete;
  Connection(const Connection&) = delete;
  ~Connection();

  void send(std::span<const std::uint8_t> bytes);
  void receive(std::span<std::uint8_t> bytes);
  [[nodiscard]] Message receive(std::size_t size);

  std::uint64_t sent = 0;
  std::uint64_t received = 0;

 private:
  int descriptor_;
};

/// Connections between the same two processes.
using Lines = std::vector<Connection>;

/// Runs `child` in a process of its own, with kLines connections over 127.0.0.1, and `parent` in
/// this one. Returns when both are done; throws if the child failed.
constexpr std::size_t kLines = 2;
void run_two_processes(const std::function<void(Lines&)>& child,
                       const std::function<void(Lines&)>& parent);

}  // namespace capc::gc::bench
