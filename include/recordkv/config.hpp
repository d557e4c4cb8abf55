// The effective configuration: defaults, files in order, environment, --set, merged and checked.
//
// Owns: every key of the configuration with its default, type and meaning; messages that name file, line and key.
// Does not know: what stages do with it.
#pragma once

#include "recordkv/core/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv {

struct config {
  using seconds = std::chrono::milliseconds;  // durations are written "10s", "2m", "250ms" in TOML

  std::vector<std::string> stages{"ingest", "kv", "index"};
  struct {
    std::string url = "nats://127.0.0.1:4222";
    std::string creds;
    std::string nkey_seed;
    std::string tls_ca;
    std::string tls_cert;
    std::string tls_key;
    std::string domain;
    std::string api_prefix;
    std::string inbox_prefix = "_INBOX";
    int replicas = 1;
    std::chrono::milliseconds sync_interval{120'000};
    std::chrono::milliseconds start_timeout{10'000};

    /// The prefix of the JetStream API's subjects: from the domain, or as written; empty: the server's own.
    std::string api() const { return domain.empty() ? api_prefix : "$JS." + domain + ".API"; }
  } nats;
  struct {
    std::string dir = "./recordkv-data";
  } state;
  struct {
    std::string kind = "firehose";
    std::string url = "wss://relay1.us-east.bsky.network";
    std::vector<std::string> collections{"*"};
    std::string start = "live";
    std::chrono::milliseconds silent_after{60'000};
  } source;
  struct {
    std::int64_t max_msgs = 50'000;
    std::int64_t max_bytes = 256'000'000;
    std::string storage = "file";
  } ingest;
  struct {
    std::string bucket = "record";
    unsigned partitions = 16;
    int streams = 1;
    std::string verify = "full";
    int workers = -1;
    std::string on_inactive = "remove";
    std::uint64_t max_keys = 0;
    std::string assign = "all";
  } kv;
  struct {
    std::string plc_url = "https://plc.directory";
    bool allow_private_hosts = false;
  } identity;
  struct {
    std::string mode = "live";
    std::vector<std::string> dids;
    std::string signal_collection;
    std::string list_host;
    bool each_host = false;
    std::chrono::milliseconds refresh{21'600'000};
    bool repair = true;
    std::chrono::milliseconds retry{60'000};
    std::int64_t memory = 256'000'000;
  } repos;
  struct {
    /// The views of records that ship. "builtin:*" has `accounts` as well, which costs something and is asked for.
    std::vector<std::string> views{"builtin:follows",  "builtin:likes",   "builtin:links",
                                   "builtin:profiles", "builtin:replies", "builtin:reposts"};
    bool views_asked_for = false;  ///< views was configured: else a command uses the views that a process keeps
    std::string database = "sqlite:likes.db";
    bool database_asked_for = false;  ///< likewise: else a command uses the database of the running index
    std::string assign = "all";
  } index;
  struct {
    std::string listen = "127.0.0.1:2580";
    bool asked_for = false;  ///< listen was configured: a port that is taken is then an error, not a warning
    std::chrono::milliseconds max_lag{300'000};
    std::string admin_token;
  } http;
  struct {
    std::string level = "info";
    std::string format = "text";
  } log;

  std::vector<std::string> warnings;  ///< keys that are accepted and have no effect yet, one line each

  /// The collections whose events are needed: those that are stored, and repos.signal_collection.
  std::vector<std::string> needed_collections() const;

  /// `index.database` as view::store takes it: a URL, or "sqlite:" and a path. A relative path lies under state.dir.
  std::string database() const;

  /// The path alone; empty if the database is not a file.
  std::string sqlite_path() const;
};

/// A key, its value and the value's origin, for `config show`.
struct setting {
  std::string key;
  std::string value;
  std::string origin;
};

struct config_sources {
  std::vector<std::string> files;  ///< in order; a missing file is an error; "builtin:quickstart" is compiled in
  std::vector<std::pair<std::string, std::string>> environment;  ///< RECORDKV_SECTION_KEY=value
  std::vector<std::string> sets;                                 ///< "section.key=value"
  std::string stages;                                            ///< --stages: a list with commas, or empty
};

/// What source.start says: "live", "oldest", a sequence number, or an RFC 3339 time.
struct start_choice {
  enum class kind { live, oldest, number, time };
  kind what = kind::live;
  std::uint64_t number = 0;
  double time = 0;  ///< seconds since 1970
};
/// nullopt: something else.
std::optional<start_choice> parse_start(std::string_view text);

/// Merges and checks. errc::bad_config: "file:line: section.key: what is wrong, what to write instead".
result<config> load_config(const config_sources& from);

/// Every key with its effective value and origin; secrets are replaced by "***".
result<std::vector<setting>> show_config(const config_sources& from);

/// The RECORDKV_* variables of this process.
std::vector<std::pair<std::string, std::string>> config_environment();

/// True when `nsid` is wanted under patterns such as "*", "app.bsky.feed.*", "app.bsky.feed.like".
bool wants_collection(const std::vector<std::string>& patterns, std::string_view nsid) noexcept;

}  // namespace recordkv
