// The accounts whose host had no place for another request.
//
// Owns: which of them is next once a place is free. Hosts take turns; the accounts of a host keep their order.
// Does not know: the places (xrpc/host_budget.hpp), and the repairs. Pure.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace recordkv::stages {

class place_waits {
 public:
  /// take() looks at this many hosts, and goes on behind them the next time.
  static constexpr std::size_t max_looked_at = 256;

  explicit place_waits(std::size_t max_accounts) : max_(max_accounts) {}

  /// The account waits for the host, unless it waits already. Beyond the bound it is not remembered.
  void add(const std::string& did, const std::string& host);
  /// The host for which the account waits; null: it does not wait.
  const std::string* host_of(const std::string& did) const;
  void remove(const std::string& did);
  /// Removes and returns an account whose host has a place now. nullopt: there is none among those looked at.
  std::optional<std::string> take(const std::function<bool(const std::string& host)>& has_place);

  std::size_t size() const noexcept { return accounts_.size(); }

 private:
  struct line {
    std::string host;
    std::list<std::string> dids;
  };
  using lines = std::list<line>;
  struct place {
    lines::iterator in;
    std::list<std::string>::iterator at;
  };

  std::size_t max_;
  lines lines_;  // none is empty; the next host first
  std::unordered_map<std::string, lines::iterator> hosts_;
  std::unordered_map<std::string, place> accounts_;
};

}  // namespace recordkv::stages
