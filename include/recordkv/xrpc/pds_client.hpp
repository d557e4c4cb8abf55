// The requests to accounts' PDS hosts: a whole repo, its newest commit, and an account's status.
//
// Owns: the URLs, what an answer means, the bounds on an answer's bytes and time.
// Does not know: signatures and trees, when to ask and how often (host_budget.hpp, stages/kv/repair/repairs.hpp).
// PDS hosts are named by accounts' DID documents, so they count as hostile (http/client.hpp). One thread: the loop's.
// Sources: lexicons com.atproto.sync.getRepo, com.atproto.sync.getRepoStatus, com.atproto.sync.getLatestCommit.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/http/client.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace recordkv::xrpc {

/// The bytes that answers under way may hold together. One object for all requests; the loop's thread only.
class byte_budget {
 public:
  explicit byte_budget(std::size_t total) : total_(total) {}
  /// False: more than the total would be held. Nothing was taken.
  bool take(std::size_t bytes) noexcept;
  void give(std::size_t bytes) noexcept;
  std::size_t total() const noexcept { return total_; }
  std::size_t held() const noexcept { return held_; }

 private:
  std::size_t total_, held_ = 0;
};

struct pds_options {
  bool allow_private_hosts = false;               ///< as identity.allow_private_hosts
  std::chrono::milliseconds repo_time{300'000};   ///< of one getRepo, redirects included
  std::chrono::milliseconds stalled{30'000};      ///< a getRepo from which no byte comes for so long is ended
  std::chrono::milliseconds status_time{10'000};  ///< of one getRepoStatus or getLatestCommit
  std::size_t max_repo = std::size_t{512} << 20;  ///< bytes of one CAR
};

/// A repo's CAR. Its bytes count in the budget until it is destroyed or give_back() is called.
class fetched_repo {
 public:
  fetched_repo(std::string car, byte_budget& budget) : car_(std::move(car)), budget_(&budget), held_(car_.size()) {}
  fetched_repo(fetched_repo&& o) noexcept;
  fetched_repo& operator=(fetched_repo&& o) noexcept;
  ~fetched_repo() { give_back(); }

  std::string take_car() noexcept { return std::move(car_); }  ///< the bytes stay counted
  void give_back() noexcept;

 private:
  std::string car_;
  byte_budget* budget_;
  std::size_t held_;
};

struct repo_status {
  bool active = true;
  std::string status;  ///< "deactivated", "takendown", …; printable, at most 64 bytes; empty: not said
  std::string rev;     ///< empty: not said
};

/// The status of an account, as in repo_status, by the word of the failure with which its PDS refuses it: "takendown"
/// for "repo_takendown". Empty: the word is of no inactive account.
std::string_view status_of_refusal(std::string_view word) noexcept;

/// Both are as the host says, and are of the form of a CID and a rev.
struct latest_commit {
  std::string cid, rev;
};

/// Counters: repo_requests by method and outcome, as one word, "getRepo_found". Outcomes: found, not_found, refused,
/// rate_limited, status, garbage, forbidden, too_large, no_memory, timed_out, unreachable.
class pds_client {
 public:
  /// `budget` and `counters` outlive the client.
  pds_client(asio::any_io_executor loop, pds_options options, byte_budget& budget, meters& counters);
  ~pds_client();  ///< as close()
  pds_client(const pds_client&) = delete;
  pds_client& operator=(const pds_client&) = delete;

  /// What went wrong, in a form for decisions. `word` is the reason of counters and of a state's `error`.
  struct failure {
    errc code;
    std::string_view word;
    std::string text;                   ///< for a person; names the host
    std::chrono::seconds stay_away{0};  ///< the pause that a 429 or 503 asked for, at most an hour; 0: none
  };
  template <class T>
  using answer = boost::system::result<T, failure>;

  /// `pds`: "https://host[:port]", as in a DID document. Redirects are followed up to 3 times, each checked anew.
  ///
  ///   not_found    "repo_not_found": the host says that it has no such account (RepoNotFound).
  ///   refused      "repo_takendown", "repo_suspended", "repo_deactivated" (and RepoInactive, RepoDeleted of relays:
  ///                "repo_inactive", "repo_deleted"): the host has it, and does not give it.
  ///   full         "rate_limited" (429), or "no_memory": the budget does not allow more bytes now.
  ///   too_large    "too_large": beyond options.max_repo.
  ///   timed_out    "timed_out", unreachable "unreachable", malformed "pds" (the URL may not be asked).
  ///   unavailable  "status": any other status; the text has it, and the answer's `error` if it is JSON.
  ///   closed       close() was called.
  task<answer<fetched_repo>> get_repo(std::string pds, std::string did);
  /// The same errors; malformed "garbage": the answer is no JSON object with a boolean `active`.
  task<answer<repo_status>> get_repo_status(std::string pds, std::string did);
  /// The same errors; malformed "garbage": the answer is no JSON object with a CID and a rev.
  task<answer<latest_commit>> get_latest_commit(std::string pds, std::string did);

  void close() noexcept;

 private:
  class impl;
  std::shared_ptr<impl> impl_;
};

/// Called by answer<T>::value() on a failure. That is a bug, because callers check first.
[[noreturn]] void throw_exception_from_error(const pds_client::failure& e, const boost::source_location& where);

}  // namespace recordkv::xrpc
