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

enum class outage_mode : std::uint8_t { ok, down, slow, too_many, not_found, gone, broken, torn };

class outage {
 public:
  /// `host`: "plc" or "pds", the first half of the names of its faults.
  outage(std::string_view host, std::function<void(injection)> note) : host_(host), note_(std::move(note)) {}

  /// mode, did, ms and count of a control request.
  result<> set(const query& q);

  /// What a request about the account meets now; it counts as happened.
  outage_mode meet(std::string_view did);
  /// The answer instead of the true one; none: the true one, perhaps delayed.
  std::optional<answer> instead(outage_mode m) const;
  std::chrono::milliseconds delay(outage_mode m) const;

 private:
  struct rule {
    outage_mode mode = outage_mode::ok;
    std::uint64_t left = 0;  // 0: without end
  };

  std::string_view host_;
  std::function<void(injection)> note_;
  std::chrono::milliseconds slowness_{1'000};
  rule all_;
  std::map<std::string, rule, std::less<>> by_did_;
};

}  // namespace recordkv::sim
