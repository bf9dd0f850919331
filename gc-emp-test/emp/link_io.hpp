#pragma once

#include <emp-sh2pc/emp-sh2pc.h>

#include <cstddef>
#include <cstdint>

#include "link.hpp"

namespace capc::gc::programs {

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

}  // namespace capc::gc::programs
