// com.atproto.sync and its neighbours, answered from the network.
//
// Owns: the routes of relay and PDS, their errors and paging.
// Does not know: sockets, the directory, the stream.
#pragma once

#include "answers.hpp"
#include "kept_exports.hpp"
#include "network.hpp"
#include "outage.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace recordkv::sim {

class xrpc {
 public:
  xrpc(network& n, outage& pds) : network_(n), outage_(pds) {}

  answer respond(const place& at, const request& r);
  /// Makes the export of every account that has a repo now, and keeps it.
  void keep_exports() { exports_.make(network_.accounts()); }
  std::uint64_t requests() const noexcept { return requests_; }

 private:
  struct call {
    const place& at;
    std::string method;  ///< without /xrpc/
    query parameters;
    outage_met met;
    bool guest;  ///< another PDS has sent it here
  };
  answer route(const call& c);
  answer of_account(const call& c);
  answer of_active(const call& c, account& a);
  answer repo_car(const call& c, const account& a);
  answer list_repos(const call& c);
  answer list_by_collection(const call& c);
  answer list_hosts() const;
  answer resolve_handle(const call& c);
  outage_met meet(const call& c);
  /// What the host says of the account; none: it has no such account.
  std::optional<account_status> status_at(const place& at, const account& a) const;

  network& network_;
  outage& outage_;
  kept_exports exports_;
  std::uint64_t requests_ = 0;
};

}  // namespace recordkv::sim
