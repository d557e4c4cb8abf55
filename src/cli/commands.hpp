// The commands, one function each, and what their files share.
//
// Owns: declarations, exit codes. Does not know: how arguments are parsed (options.cpp).
#pragma once

#include "interruption.hpp"
#include "recordkv/config.hpp"
#include "recordkv/kv/store_names.hpp"
#include "recordkv/nats/connection.hpp"
#include "recordkv/nats/jetstream.hpp"
#include "recordkv/stage.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace recordkv::cli {

inline constexpr int done = 0, no = 1, usage = 2, unreachable = 3;

struct tail_options {
  std::vector<std::string> collections;
  std::string durable, did, partitions = "all";
  bool only_new = false;
  bool by_line = false;     ///< a line on standard input acknowledges a printed line
  std::uint64_t lines = 0;  ///< end after this many; 0: never
};

struct frames_options {
  std::string input;        ///< a file, "-", or a ws:// or wss:// address
  std::string record;       ///< save what was read to this file; empty: don't
  std::string keys;         ///< a file of DID documents; empty: look keys up
  std::string now;          ///< RFC 3339: judge revs as of then; empty: by the clock
  std::uint64_t count = 0;  ///< end after this many; 0: never
  bool json = false, no_identity = false;
};

struct repo_options {
  std::string account;                ///< show, traces: a DID or a handle
  std::vector<std::string> accounts;  ///< add, remove, resync, up: the same
  std::string status;                 ///< list: one of account_words; empty: all
  std::uint64_t limit = 0;            ///< list: end after this many; 0: never
};

/// The parsed command line of any command; each command reads its own fields.
struct invocation {
  std::string command = "run";
  config_sources sources;
  std::string uri;                 ///< get, put, del, wait; the DID of ls
  std::string collection;          ///< ls
  std::string text;                ///< put: JSON, or "-"
  std::string by, of;              ///< likes
  std::string view;                ///< query, view, wait
  std::string action;              ///< of config, repo and view
  std::vector<std::string> where;  ///< query: COL=VALUE
  std::vector<std::string> files;  ///< view check
  std::string directory = ".";     ///< init
  bool toml = false;               ///< view show: the definition alone
  bool wait = false;               ///< put, del; repo add, remove, resync
  bool meta = false, json = false, yes = false, watch = false, quiet = false, list_stages = false;
  std::size_t limit = 1000;
  tail_options tail;
  frames_options frames;
  repo_options repo;
};

/// Parses the command line. An exit code when there is nothing left to do (--help, --version, a mistake).
struct parsed {
  invocation what;
  int exit_code = -1;
};
parsed parse_command_line(int argc, char** argv);

/// Prints "recordkv: text" to standard error and returns the error's exit code.
int complain(const error& e);

/// Connects as the configuration says, checks the server, and runs one coroutine to its end.
struct session {
  nats::connection& nc;
  const config& cfg;
  nats::server_facts facts;
  kv::store_names names() const { return kv::store_names(cfg.kv.bucket); }
};
int with_nats(const config& cfg, std::function<task<int>(session)> body);
/// The same for a command that can do without NATS: an error if there is no connection.
result<int> try_nats(const config& cfg, std::function<task<int>(session)> body);
/// greet + accept + start: a usable connection, or an error that names the cause.
result<void> connect(asio::io_context& io, nats::connection& nc, const config& cfg);

/// The configured stages, in the order of the data flow; errc::bad_config for an unknown name.
result<std::vector<stage_entry>> chosen_stages(const config& cfg, std::span<const stage_entry> extra);

/// What a hangup (SIGHUP) means. To `run`, it asks to reopen a log or a configuration, and there is nothing to reopen.
/// To `up`, its terminal has gone.
enum class hangup { told, ends };
/// True if the process was started with SIGHUP ignored, as by nohup. It then goes on ignoring it.
bool hangup_is_ignored();

/// What a command does with the stages that it runs.
struct run_hooks {
  std::function<void()> on_started;
  /// Runs beside the stages, and ends when the interruption happens: they are asked to stop, or have ended.
  std::function<task<>(session, interruption&)> beside;
};
int run_stages(const config& cfg, std::span<const stage_entry> extra, hangup on_hangup, const run_hooks& hooks = {});
/// `accounts`: DIDs and handles, to be fetched in full.
int up(const config& cfg, std::span<const stage_entry> extra, std::vector<std::string> accounts);
int get(const invocation& i, const config& cfg);
int ls(const invocation& i, const config& cfg);
int put(const invocation& i, const config& cfg);
int del(const invocation& i, const config& cfg);
int likes(const invocation& i, const config& cfg);
int query(const invocation& i, const config& cfg);
int view_command(const invocation& i, const config& cfg);
int repo_command(const invocation& i, const config& cfg);
int wait(const invocation& i, const config& cfg);
int tail(const invocation& i, const config& cfg);
int frames(const invocation& i, const config& cfg);
int status(const invocation& i, const config& cfg);
int reset(const invocation& i, const config& cfg);
int config_command(const invocation& i, std::span<const stage_entry> extra);
int init(const invocation& i);

}  // namespace recordkv::cli
