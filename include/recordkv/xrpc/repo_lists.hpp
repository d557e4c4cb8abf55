// The lists of accounts and hosts that relays and PDS hosts give, page by page.
//
// Owns: the URLs, the reading of a page, the bounds on its bytes and time.
// Does not know: which accounts are followed, and when a list is read again (stages/kv/repair/account_lists.hpp).
// Every answer is hostile: an item that is no DID, or no host name, is left out. One thread: the loop's.
// Sources: lexicons com.atproto.sync.listRepos, com.atproto.sync.listReposByCollection, com.atproto.sync.listHosts.
#pragma once

#include "recordkv/xrpc/pds_client.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace recordkv::xrpc {

struct list_request {
  enum class kind { repos, repos_by_collection, hosts } what = kind::repos;
  std::string host;        ///< "https://host[:port]"
  bool configured = true;  ///< the host stands in the configuration, so it may be private, and speak plain http
  std::string collection;  ///< repos_by_collection
  std::string cursor;      ///< of the page before; empty: the first page
};

struct list_page {
  /// DIDs of accounts that are not said to be inactive; or URLs of hosts. At most as many as the lexicon allows.
  std::vector<std::string> items;
  std::uint64_t inactive = 0;  ///< accounts that were left out because they are not active
  std::uint64_t accounts = 0;  ///< of hosts: how many accounts they say that they have, in sum
  /// Of the next page; empty: this is the last one. A short page, also an empty one, is not the end.
  std::string cursor;
};

struct list_options {
  bool allow_private_hosts = false;  ///< as identity.allow_private_hosts; for hosts that a list names
  std::chrono::milliseconds time{30'000};
  std::size_t max_body = std::size_t{4} << 20;
};

/// Counters: repo_requests by method and outcome, as pds_client.
class repo_lists {
 public:
  repo_lists(asio::any_io_executor loop, list_options options, meters& counters);

  /// Errors as pds_client's; malformed "garbage": the body is no page, or its cursor is the request's own.
  task<pds_client::answer<list_page>> page(list_request q);
  /// Ends every page() under way with errc::closed. Idempotent.
  void close() noexcept;

 private:
  list_options options_;
  meters& counters_;
  http::client anyone_, public_hosts_;
};

/// The reading of a page; for tests. nullopt: the body is no page of this kind. `private_hosts`: hosts on this machine
/// become http URLs.
std::optional<list_page> read_list_page(list_request::kind what, std::string_view body, bool private_hosts);

}  // namespace recordkv::xrpc
