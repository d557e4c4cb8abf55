// `reset`: removes what recordkv made, and nothing else.
//
// Owns: the list of what is removed, and the order of removal. Does not know: how views are stored (view/store.hpp).
#include "commands.hpp"
#include "output.hpp"

#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/projection/view_source.hpp"
#include "recordkv/view/store.hpp"

#include "lock_table.hpp"
#include "stores_there.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

namespace recordkv::cli {
namespace {

struct removal {
  struct stream {
    std::string name;
    nats::stream_state state;
  };
  std::vector<stream> streams;
  struct consumer {
    std::string stream, name;
  };
  std::vector<consumer> consumers;  // of views, on streams that recordkv did not make
  std::vector<std::string> files;
  std::vector<std::string> views;  // in a database that holds more than this store's
  bool empty() const { return streams.empty() && consumers.empty() && files.empty() && views.empty(); }
};

// Only streams that have this store's names and were made by recordkv: `meta` may be another bucket's, from an earlier
// version.
task<result<void>> streams_of(session s, const kv::store_meta& meta, removal& r) {
  const auto store = co_await nats::stream_info(s.nc, s.names().store());
  if (!store && store.error().code != errc::not_found) co_return store.error();
  const auto foreign = std::ranges::find_if(meta.made, [&](const auto& made) {
    const auto own = s.names().streams();
    return std::ranges::find(own, made) == own.end();
  });
  if (foreign != meta.made.end())
    co_return fail(errc::mismatch,
                   "bucket {} belongs to another store than {}: recordkv made stream {} with it; name that store's "
                   "bucket (kv.bucket). Nothing was removed",
                   s.names().repo(), s.names().bucket(), *foreign);
  const auto lock = kv::store_names::stream_of(s.names().lock());
  for (const auto& name : s.names().streams()) {  // the bucket of `meta` is the last: a reset can be repeated
    if (name != lock && std::ranges::find(meta.made, name) == meta.made.end()) continue;
    auto state = co_await nats::stream_info(s.nc, name);
    if (!state && state.error().code != errc::not_found) co_return state.error();
    if (state) r.streams.push_back({name, std::move(*state)});
  }
  co_return result<void>{};
}

// A database may also hold rows of another store, even of one in another account. Positions carry the store's creation
// time.
task<result<void>> rows_of(session s, const kv::store_meta& meta, removal& r) {
  const auto path = s.cfg.sqlite_path();
  if (!path.empty() && !std::filesystem::exists(path)) co_return result<void>{};
  auto database = view::store::open(s.nc.io(), s.cfg.database());
  if (!database) co_return database.error();
  auto views = co_await (*database)->views();
  if (!views) co_return views.error();
  bool all_of_store = true;
  for (const auto& v : *views) {
    auto there = co_await (*database)->look(v);
    if (!there) co_return there.error();
    const auto of_store = [&](const std::optional<view::build>& b) {
      return !b || b->at.created.empty() || (meta.is_of(b->at.created) && b->at.generation == meta.generation);
    };
    if (of_store(there->live) && of_store(there->next))
      r.views.push_back(v);
    else
      all_of_store = false;
  }
  if (path.empty() || !all_of_store || r.views.empty()) co_return result<void>{};
  r.views.clear();
  for (const char* suffix : {"", "-wal", "-shm"}) r.files.push_back(path + suffix);
  co_return result<void>{};
}

task<result<removal>> what_to_remove(session s) {
  removal r;
  auto meta = co_await kv::read_meta(s.nc, s.names());
  if (!meta && meta.error().code == errc::not_found) co_return r;
  if (!meta) co_return meta.error();
  if (auto told = co_await streams_of(s, *meta, r); !told) co_return told.error();
  for (const auto of : {view::source::records, view::source::accounts}) {
    const auto stream = projection::view_source(of, s.names(), meta->partitions).stream();
    if (std::ranges::find(r.streams, stream, &removal::stream::name) != r.streams.end()) continue;
    auto names = co_await nats::consumer_names(s.nc, stream);
    if (!names) co_return names.error();
    for (const auto& name : *names)
      if (name.starts_with("view-")) r.consumers.push_back({stream, name});
  }
  if (auto told = co_await rows_of(s, *meta, r); !told) co_return told.error();
  co_return r;
}

// Checked before the question, and again after the answer, which may take minutes.
task<result<void>> nothing_runs(session s) {
  auto locks = co_await read_locks(s.nc, s.names());
  if (!locks) co_return locks.error();
  for (const auto& l : *locks)
    if (l.live)
      co_return fail(errc::lease_lost, "stage {} is running (process {}); stop it before reset", l.key, l.pid);
  co_return result<void>{};
}

bool confirmed(const removal& r, bool yes) {
  for (const auto& x : r.streams)
    write_out("stream    {}  {} messages, {} bytes\n", x.name, x.state.messages, x.state.bytes);
  for (const auto& x : r.consumers) write_out("consumer  {}\n", x.name);
  for (const auto& x : r.files) write_out("file      {}\n", x);
  for (const auto& x : r.views) write_out("view      {}\n", x);
  if (yes) return true;
  if (isatty(STDIN_FILENO) == 0) {
    write_error("recordkv: reset deletes the above; use --yes, since standard input is no terminal\n");
    return false;
  }
  write_out("Delete all of this? Type yes: ");
  flush_output();
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
  auto r = co_await what_to_remove(s);
  if (!r) co_return complain(r.error());
  if (r->empty()) {
    auto others = co_await record_buckets(s.nc);
    write_out("recordkv has made nothing here for bucket {}\n", s.names().bucket());
    if (others && !others->empty()) write_out("buckets on this server: {}\n", fmt::join(*others, ", "));
    co_return done;
  }
  if (auto idle = co_await nothing_runs(s); !idle) co_return complain(idle.error());
  if (!confirmed(*r, yes)) co_return no;
  if (auto idle = co_await nothing_runs(s); !idle) co_return complain(idle.error());
  // The rows first and bucket `repo` last: it records what recordkv made, so that an interrupted reset can be
  // repeated.
  if (auto gone = co_await drop_views(s, r->views); !gone) co_return complain(gone.error());
  for (const auto& file : r->files) std::filesystem::remove(file);
  for (const auto& c : r->consumers)
    if (auto gone = co_await nats::api(s.nc, fmt::format("CONSUMER.DELETE.{}.{}", c.stream, c.name)); !gone)
      co_return complain(gone.error());
  for (const auto& stream : r->streams) {
    auto gone = co_await kv::remove_stream(s.nc, stream.name);
    if (!gone && gone.error().code != errc::not_found) co_return complain(gone.error());
  }
  write_out("removed\n");
  co_return done;
}

}  // namespace

int reset(const invocation& i, const config& cfg) {
  return with_nats(cfg, [&](session s) { return remove_all(s, i.yes); });
}

}  // namespace recordkv::cli
