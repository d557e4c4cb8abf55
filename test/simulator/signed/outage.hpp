// A host that fails on command.
//
// Owns: which requests fail how, for all accounts or for one, and the naming of each failure that happened.
// Does not know: the requests themselves.
#pragma once

#include "../filter.hpp"
#include "answers.hpp"
#include "faults.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv::sim {

enum class outage_mode : std::uint8_t {
  ok,
  down,
  slow,
  too_many,
  not_found,
  gone,
  broken,
  unauthorised,
  torn,      // the first of those that only an export can meet
  half,      ///< the CAR is cut in the middle
  redirect,  ///< another PDS has it
  old,       ///< the repo as it was some commits ago
};

/// Only an export can fail in this way.
constexpr bool concerns_export(outage_mode m) noexcept { return m >= outage_mode::torn; }

/// What a request meets.
struct outage_met {
  outage_mode mode = outage_mode::ok;
  std::chrono::milliseconds slowness{1'000};
  std::uint64_t retry_after = 1;  ///< seconds
};

/// Before the answer.
inline std::chrono::milliseconds delay_of(const outage_met& m) {
  return m.mode == outage_mode::slow ? m.slowness : std::chrono::milliseconds(0);
}

class outage {
 public:
  /// `host`: "plc" or "pds", the first half of the names of its faults.
  outage(std::string_view host, std::function<void(injection)> note) : host_(host), note_(std::move(note)) {}

  /// mode, did, ms, retry_after and count of a control request.
  result<> set(const query& q);

  using fits = std::function<bool(outage_mode)>;
  /// What a request about the account meets now; it counts as happened. A mode that does not fit the request waits for
  /// another one.
  outage_met meet(std::string_view did, const fits& fit);
  outage_met meet(std::string_view did) {
    return meet(did, [](outage_mode m) { return !concerns_export(m); });
  }
  /// The answer instead of the true one; none: the true one, perhaps changed or slow.
  static std::optional<answer> instead(const outage_met& m);

 private:
  struct rule {
    outage_met met;
    std::uint64_t left = 0;  // 0: without end
  };

  std::string_view host_;
  std::function<void(injection)> note_;
  rule all_;
  std::map<std::string, rule, std::less<>> by_did_;
};

}  // namespace recordkv::sim
