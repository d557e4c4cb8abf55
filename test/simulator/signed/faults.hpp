// What can be made to go wrong in the signed network, when, and what has.
//
// Owns: the kinds and their names, the plan of a run, what a control route has armed, the list of what happened.
// Does not know: how a fault is made; network_faults.cpp does.
#pragma once

#include "../draw.hpp"

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::sim {

enum class fault : std::uint8_t {
  forged,
  mutated,
  future_rev,
  replay,
  repeat,
  foreign,
  corrupted,
  wrong_key,
  high_s,
  wrong_prev_data,
  no_prev_data,
  op_left_out,
  seq_back,
  gap,
  bad_record,
  sync,
  sync_moved,
  rotation,
  rotation_silent,
  rotation_late,
  handle,
  deactivated,
  reactivated,
  deleted,
  takendown,
  suspended,
  migrated,
  recreated,
  false_deleted,
  disconnect,
};

std::string_view name(fault f) noexcept;
std::optional<fault> fault_named(std::string_view name) noexcept;

/// The fault changes the account, not the message of a commit.
bool concerns_account(fault f) noexcept;
/// What the fault adds comes after the commit.
bool shows_after(fault f) noexcept;
/// The mirror misses a change, so the fault wants a commit that changes data.
bool loses_commit(fault f) noexcept;
/// The account is away until it is told to come back.
bool sends_away(fault f) noexcept;
/// A mirror that hears of the account again must call it desynchronised.
bool desynchronises(fault f) noexcept;

class fault_plan {
 public:
  /// Adds "kind=3,kind=1/500".
  result<> add(std::string_view list);
  /// The next `count` fitting commits of the account, or of any, get the fault.
  void arm(fault f, std::optional<std::uint32_t> account, std::uint64_t count);

  using fits = std::function<bool(fault)>;
  /// The fault for a commit of `account`, about `left` commits before the planned ones must all have happened.
  std::optional<fault> choose(std::uint32_t account, std::uint64_t left, draw& d, const fits& fit);

  std::map<std::string_view, std::uint64_t> waiting() const;  ///< by kind

 private:
  struct armed {
    fault kind;
    std::optional<std::uint32_t> account;
    std::uint64_t count;
  };
  struct planned {
    fault kind;
    std::uint64_t count;   // still to come; 0 with a rate
    std::uint32_t one_in;  // 0 with a count
  };
  std::vector<armed> armed_;
  std::vector<planned> planned_;
};

/// One fault that happened.
struct injection {
  std::string_view kind;
  std::string did;        ///< empty: no single account
  std::uint64_t seq = 0;  ///< of the message; 0: none
  std::uint64_t rev = 0;  ///< of the commit; 0: none
  std::string_view expect;
};

class fault_log {
 public:
  void add(injection i);
  std::string json(const fault_plan& plan) const;

 private:
  std::map<std::string_view, std::uint64_t> counts_;
  std::deque<injection> injected_;  // the newest ones
};

}  // namespace recordkv::sim
