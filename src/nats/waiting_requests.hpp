// Requests that wait for their answers, and every way in which a wait ends.
//
// Owns: ids, the table of slots, their deadlines; failing requests whose answer can no longer come.
// Does not know: nats.c, sockets, the content of a request.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/nats/denial.hpp"
#include "recordkv/nats/message.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace recordkv::nats {

class waiting_requests {
 public:
  using clock = std::chrono::steady_clock;

  /// Lives in the frame of the waiting coroutine; its destructor removes its ids from the table.
  struct slots {
    slots(waiting_requests& table, std::size_t n);
    ~slots();
    slots(const slots&) = delete;

    waiting_requests& table;
    std::vector<message> replies;
    std::vector<std::optional<error>> failures;
    std::vector<std::string> subjects;
    std::vector<std::uint64_t> ids;
    std::size_t missing;
    event answered;
  };

  std::uint64_t add(slots& waiting, std::size_t index, std::string subject);
  void answer(std::uint64_t id, message& reply);
  void fail_one(std::uint64_t id, error why);
  /// No earlier request can be answered any more.
  void fail_all(const error& why);
  /// A refused publish has no answer. `inbox`: the reply subjects of this process are "<inbox>.r<id>".
  void deny(const denial& d, std::string_view inbox);

  /// The process stops: from now on every request, old or new, waits for a second at most.
  void hurry();
  clock::time_point deadline(clock::time_point asked, clock::duration limit) const noexcept;

 private:
  std::unordered_map<std::uint64_t, std::pair<slots*, std::size_t>> table_;
  std::uint64_t next_ = 1;
  std::optional<clock::time_point> hurried_;
};

}  // namespace recordkv::nats
