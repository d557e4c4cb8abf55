// From host names to addresses.
//
// Owns: the system's look-ups, on threads of their own, and how many there are at once.
// Does not know: which addresses may be connected to.
// Why not Asio's resolver: it has one thread. A name whose servers are silent would hold up every other name, and the
// end of the program.
#pragma once

#include "cut_off.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/result.hpp"

#include <boost/asio/ip/address.hpp>

#include <memory>
#include <string>
#include <vector>

namespace recordkv::http {

class host_names {
 public:
  static constexpr int at_once = 8;

  explicit host_names(asio::any_io_executor loop);
  ~host_names();
  host_names(const host_names&) = delete;
  host_names& operator=(const host_names&) = delete;

  /// The addresses of a name, or the address that it already is. The look-up may go on when `ending` ends the wait.
  task<result<std::vector<asio::ip::address>>> look_up(std::string host, cut_off& ending);

 private:
  struct shared;
  struct query;
  std::shared_ptr<shared> shared_;
};

}  // namespace recordkv::http
