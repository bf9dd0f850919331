#pragma once

#include <emp-sh2pc/emp-sh2pc.h>

#include <cstddef>
#include <cstdint>

#include "link.hpp"
#include "task.hpp"

// EMP 0.3: what its development line names or does otherwise. development/emp_line.hpp is the same
// for that one.
namespace capc::gc::programs {

constexpr const char* kEmpLine = "emp-0.3";

/// A link in the form that EMP's protocols take, in place of EMP's own sockets: those listen on
/// every interface, are not encrypted and wait for ever.
class LinkIO : public emp::IOChannel<LinkIO> {
 public:
  explicit LinkIO(Link& link) : link_(link) {}

  void send_data_internal(const void* data, std::size_t bytes) {
    link_.write({static_cast<const std::uint8_t*>(data), bytes});
  }
  void recv_data_internal(void* data, std::size_t bytes) {
    link_.read({static_cast<std::uint8_t*>(data), bytes});
  }
  void flush() { link_.flush(); }

 private:
  Link& link_;
};

/// EMP's session lives in globals, so a process has one at a time, and its channel lives as long.
class EmpSession {
 public:
  EmpSession(Party party, Link& link) : io_(link) {
    emp::setup_semi_honest(&io_, party == Party::Garbler ? emp::ALICE : emp::BOB);
    link.flush();
  }
  EmpSession(const EmpSession&) = delete;
  EmpSession& operator=(const EmpSession&) = delete;
  ~EmpSession() {
    emp::finalize_semi_honest();
    emp::ProtocolExecution::prot_exec = nullptr;
    emp::CircuitExecution::circ_exec = nullptr;
  }

 private:
  LinkIO io_;
};

// What stands below needs a session.

inline void emp_feed(emp::block* labels, int feeder, const bool* bits, std::size_t count) {
  emp::ProtocolExecution::prot_exec->feed(labels, feeder, bits, static_cast<int>(count));
}
inline void emp_reveal(bool* bits, int receiver, const emp::block* labels, std::size_t count) {
  emp::ProtocolExecution::prot_exec->reveal(bits, receiver, labels, static_cast<int>(count));
}
inline std::uint64_t emp_and_count() { return emp::CircuitExecution::circ_exec->num_and(); }
inline emp::block emp_and(const emp::block& a, const emp::block& b) {
  return emp::CircuitExecution::circ_exec->and_gate(a, b);
}
inline emp::block emp_xor(const emp::block& a, const emp::block& b) {
  return emp::CircuitExecution::circ_exec->xor_gate(a, b);
}
inline emp::block emp_not(const emp::block& a) {
  return emp::CircuitExecution::circ_exec->not_gate(a);
}

}  // namespace capc::gc::programs
