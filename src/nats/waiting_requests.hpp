// Requests that wait for their answers, and every way in which a wait ends.
//
// Owns: ids, the table of slots, their deadlines; failing those whose answer can't come any more.
// Refuses to know: nats.c, sockets, what was asked.
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

  /// Stands in the frame of the coroutine that waits; its destructor takes its ids out of the table.
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
  /// No answer of before can come any more.
  void fail_all(const error& why);
  /// A refused publish has no answer. `inbox`: a reply subject of ours is "<inbox>.r<id>".
  void deny(const denial& d, std::string_view inbox);

  /// The process stops: whatever is asked, and was asked, waits for a moment at most.
  void hurry();
  clock::time_point deadline(clock::time_point asked, clock::duration limit) const noexcept;

 private:
  std::unordered_map<std::uint64_t, std::pair<slots*, std::size_t>> table_;
  std::uint64_t next_ = 1;
  std::optional<clock::time_point> hurried_;
};

}  // namespace recordkv::nats
