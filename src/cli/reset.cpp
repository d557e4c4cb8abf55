// `reset`: removes what recordkv made, and nothing else.
#include "commands.hpp"

#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/view/store.hpp"

#include "lock_table.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>

namespace recordkv::cli {
namespace {

struct removal {
  std::vector<std::string> streams;
  std::vector<std::string> consumers;  // on a store that is not ours
  std::vector<std::string> files;
  std::vector<std::string> views;  // in a database that is no file of ours
};

task<result<removal>> what_is_ours(session s) {
  removal r;
  const auto store = s.names().store();
  auto meta = co_await kv::read_meta(s.nc, s.names());
  if (!meta && meta.error().code != errc::not_found) co_return meta.error();
  if (meta) r.streams = meta->made;
  if (auto lock = co_await nats::stream_info(s.nc, kv::store_names::stream_of(s.names().lock())); lock)
    r.streams.push_back(kv::store_names::stream_of(s.names().lock()));
  if (std::find(r.streams.begin(), r.streams.end(), store) == r.streams.end()) {
    auto names = co_await nats::consumer_names(s.nc, store);
    if (!names) co_return names.error();
    for (const auto& name : *names)
      if (name.starts_with("view-")) r.consumers.push_back(name);
  }
  const auto path = s.cfg.sqlite_path();
  for (const char* suffix : {"", "-wal", "-shm"})
    if (!path.empty() && std::filesystem::exists(path + suffix)) r.files.push_back(path + suffix);
  if (path.empty()) {
    auto database = view::store::open(s.nc.io(), s.cfg.database());
    if (!database) co_return database.error();
    auto views = co_await (*database)->views();
    if (!views) co_return views.error();
    r.views = std::move(*views);
  }
  co_return r;
}

bool confirmed(const removal& r, bool yes) {
  for (const auto& x : r.streams) fmt::print("stream    {}\n", x);
  for (const auto& x : r.consumers) fmt::print("consumer  {}\n", x);
  for (const auto& x : r.files) fmt::print("file      {}\n", x);
  for (const auto& x : r.views) fmt::print("view      {}\n", x);
  if (yes) return true;
  if (isatty(STDIN_FILENO) == 0) {
    fmt::print(stderr, "recordkv: reset deletes the above; say --yes, since standard input is no terminal\n");
    return false;
  }
  fmt::print("Delete all of this? Type yes: ");
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "yes";
}

task<result<void>> drop_views(session s, const std::vector<std::string>& views) {
  if (views.empty()) co_return result<void>{};
  auto database = view::store::open(s.nc.io(), s.cfg.database());
  if (!database) co_return database.error();
  for (const auto& v : views)
    if (auto gone = co_await (*database)->drop(v); !gone) co_return gone;
  co_return result<void>{};
}

task<int> remove_all(session s, bool yes) {
  auto r = co_await what_is_ours(s);
  if (!r) co_return complain(r.error());
  if (r->streams.empty() && r->consumers.empty() && r->files.empty() && r->views.empty()) {
    fmt::print("nothing of recordkv's is here\n");
    co_return done;
  }
  auto locks = co_await read_locks(s.nc, s.names());
  if (locks)
    for (const auto& l : *locks)
      if (l.live)
        co_return complain(
            fail(errc::not_owner, "stage {} is running (process {}); stop it before reset", l.key, l.pid));
  if (!confirmed(*r, yes)) co_return no;
  const auto store = s.names().store();
  for (const auto& name : r->consumers)
    if (auto gone = co_await nats::api(s.nc, fmt::format("CONSUMER.DELETE.{}.{}", store, name)); !gone)
      co_return complain(gone.error());
  // `repo` holds the list of what is ours: it goes last, so that an interrupted reset can be repeated.
  std::sort(r->streams.begin(), r->streams.end(),
            [last = kv::store_names::stream_of(s.names().repo())](const auto& a, const auto& b) {
              return (a == last) < (b == last);
            });
  for (const auto& name : r->streams) {
    auto gone = co_await kv::remove_stream(s.nc, name);
    if (!gone && gone.error().code != errc::not_found) co_return complain(gone.error());
  }
  for (const auto& file : r->files) std::filesystem::remove(file);
  if (auto gone = co_await drop_views(s, r->views); !gone) co_return complain(gone.error());
  fmt::print("removed\n");
  co_return done;
}

}  // namespace

int reset(const invocation& i, const config& cfg) {
  return with_nats(cfg, [&](session s) { return remove_all(s, i.yes); });
}

}  // namespace recordkv::cli
