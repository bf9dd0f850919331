#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace capc::gc::bench {

using Message = std::vector<std::uint8_t>;

/// A connected TCP socket that moves exact numbers of bytes and counts them. Both ends may send at
/// once: one that cannot go on takes what has come meanwhile.
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
  /// Until the socket takes bytes: what comes, to `early_`.
  void wait_to_send();

  int descriptor_;
  Message early_;
};

/// Runs `child` in a process of its own, connected over 127.0.0.1 with `parent` in this one.
/// Returns when both are done; throws if the child failed.
void run_two_processes(const std::function<void(Connection&)>& child,
                       const std::function<void(Connection&)>& parent);

}  // namespace capc::gc::bench
