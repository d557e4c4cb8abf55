// The accounts that repos.mode names: those of a list in the configuration, those that have a collection, or all.
//
// Owns: how far the lists have been read, when they are read again, and what becomes of a list that can't be read.
// Does not know: requests and their URLs (xrpc/repo_lists.hpp), NATS, what following changes in an account's state.
//
// Every process of stage kv reads the lists by itself, and takes the accounts of its partitions.
#pragma once

#include "list_progress.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/rate_limited.hpp"
#include "recordkv/xrpc/repo_lists.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::stages {

/// What the lists need of the world. Tests give fakes.
struct lists_port {
  std::function<task<xrpc::pds_client::answer<xrpc::list_page>>(xrpc::list_request q)> page;
  /// The DID of a handle, checked in both directions.
  std::function<task<result<std::string>>(std::string handle)> did_of;
  /// The accounts of this process's partitions are followed from now on. Returns once that is durable. errc::closed.
  std::function<task<result<void>>(std::vector<std::string> dids)> follow;
  std::function<bool(const std::string& did)> mine;
  /// False: so many accounts are due for a repair that no further page is read yet.
  std::function<bool()> room;
  /// What save() wrote last; empty: nothing, or nothing that can be read. errc::closed.
  std::function<task<result<std::string>>()> load;
  std::function<task<result<void>>(std::string progress)> save;
  /// Ends all of these with errc::closed.
  std::function<void()> close;
};

struct lists_rules {
  enum class mode { list, signal, all } what = mode::list;
  std::vector<std::string> names;                 ///< list: DIDs and handles
  std::string collection;                         ///< signal
  std::string host;                               ///< signal and all: whose lists are read, "https://host"
  bool each_host = false;                         ///< all: `host` names hosts, and each of them lists its own accounts
  std::chrono::milliseconds refresh{21'600'000};  ///< after the end of a reading
  std::chrono::milliseconds first_retry{1'000};   ///< doubles with each failure, up to 300 times as much
  std::string filter;                             ///< hash of the wanted collections: others mean another reading
  std::size_t in_batch = 1000;                    ///< accounts that are changed together
  std::chrono::milliseconds time_of_host{3'600'000};  ///< that reading a host beyond the configuration may take
  std::uint64_t max_of_host = 1'000'000;              ///< accounts that a host beyond the configuration may list
  std::uint64_t page_cost = 100;  ///< of max_of_host: a page counts as so many accounts at least, also an empty one
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;

  /// What is read, in one line for a person.
  std::string what_is_read() const;
  /// The same for list_progress: progress of another reading does not count.
  std::string key_of_reading() const { return fmt::format("{}, filter {}", what_is_read(), filter); }
};

class account_lists {
 public:
  account_lists(lists_port port, lists_rules rules, meters& counters);

  /// Reads the lists, and again after rules.refresh, until close().
  task<> run();
  void close() noexcept;

  const list_progress& progress() const noexcept { return progress_; }
  /// Why the lists could not be read; empty: they can.
  const std::string& last_error() const noexcept { return last_error_; }
  /// For the stage's report: what is read, how far, the time that is left where it is known, the last error.
  boost::json::object describe() const;

 private:
  using clock = std::chrono::system_clock;
  using failure = xrpc::pds_client::failure;
  /// Empty: done.
  using outcome = std::optional<failure>;

  task<bool> load();
  task<> wait_for_refresh();
  task<outcome> read();
  task<outcome> read_names();
  task<outcome> read_pages(xrpc::list_request q);
  task<outcome> read_hosts();
  task<outcome> read_host(std::string host);
  outcome too_much_of_host(const std::string& host, std::chrono::steady_clock::time_point begun) const;
  void forget_refused_cursor(const failure& why);
  task<outcome> expect();
  task<outcome> follow(std::vector<std::string> found);
  task<outcome> save();
  void begin_again();
  void tell();

  lists_port port_;
  lists_rules rules_;
  meters& counters_;
  list_progress progress_;
  std::string last_error_;
  std::string refused_cursor_;  // with which the last reading failed
  unsigned refusals_ = 0;       // of that cursor, one after the other
  rate_limited told_;
  std::chrono::steady_clock::time_point told_progress_;
  bool closed_ = false;
  event woken_;
};

}  // namespace recordkv::stages
