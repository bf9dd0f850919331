#pragma once

#include <emp-sh2pc/emp-sh2pc.h>

#include <cstddef>
#include <cstdint>

#include "link.hpp"
#include "task.hpp"

// EMP's development line: as ../release/emp_line.hpp, which explains it.
namespace capc::gc::programs {

constexpr const char* kEmpLine = "emp-dev";

class LinkIO : public emp::IOChannel {
 public:
  explicit LinkIO(Link& link) : link_(link) {}

  void send_data_internal(const void* data, std::int64_t bytes) override {
    link_.write({static_cast<const std::uint8_t*>(data), static_cast<std::size_t>(bytes)});
  }
  void recv_data_internal(void* data, std::int64_t bytes) override {
    link_.read({static_cast<std::uint8_t*>(data), static_cast<std::size_t>(bytes)});
  }
  void flush() override { link_.flush(); }

 private:
  Link& link_;
};

class EmpSession {
 public:
  EmpSession(Party party, Link& link) : io_(link) {
    emp::setup_semi_honest(&io_, party == Party::Garbler ? emp::ALICE : emp::BOB);
    link.flush();
  }
  EmpSession(const EmpSession&) = delete;
  EmpSession& operator=(const EmpSession&) = delete;
  ~EmpSession() { emp::finalize_semi_honest(); }

 private:
  LinkIO io_;
};

inline void emp_feed(emp::block* labels, int feeder, const bool* bits, std::size_t count) {
  emp::backend->feed(labels, feeder, bits, count);
}
inline void emp_reveal(bool* bits, int receiver, const emp::block* labels, std::size_t count) {
  emp::backend->reveal(bits, receiver, labels, count);
}
inline std::uint64_t emp_and_count() { return emp::backend->num_and(); }
inline emp::block emp_and(const emp::block& a, const emp::block& b) {
  emp::block out;
  emp::backend->and_gate(&out, &a, &b);
  return out;
}
inline emp::block emp_xor(const emp::block& a, const emp::block& b) {
  emp::block out;
  emp::backend->xor_gate(&out, &a, &b);
  return out;
}
inline emp::block emp_not(const emp::block& a) {
  emp::block out;
  emp::backend->not_gate(&out, &a);
  return out;
}

}  // namespace capc::gc::programs
