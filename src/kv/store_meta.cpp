#include "recordkv/kv/store_meta.hpp"

#include "recordkv/kv/record_key.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <chrono>

namespace recordkv::kv {
namespace json = boost::json;
namespace {

std::string to_json(const store_meta& m) {
  return json::serialize(json::object{{"partitions", m.partitions},
                                      {"created", m.created},
                                      {"made", json::value_from(m.made)},
                                      {"put", m.put_used},
                                      {"generation", m.generation}});
}

result<store_meta> parse(const std::string& text) {
  boost::system::error_code ec;
  const auto v = json::parse(text, ec);
  if (ec || !v.is_object())
    return fail(errc::malformed, "key meta of bucket repo is not a JSON object; it is not one of ours");
  const auto& o = v.get_object();
  store_meta m;
  if (const auto* p = o.if_contains("partitions"); p && p->is_int64())
    m.partitions = static_cast<unsigned>(p->get_int64());
  if (const auto* c = o.if_contains("created"); c && c->is_string()) m.created = c->get_string();
  if (const auto* p = o.if_contains("put"); p && p->is_bool()) m.put_used = p->get_bool();
  if (const auto* g = o.if_contains("generation"); g && g->is_int64())
    m.generation = static_cast<std::uint64_t>(g->get_int64());
  if (const auto* made = o.if_contains("made"); made && made->is_array())
    for (const auto& e : made->get_array())
      if (e.is_string()) m.made.emplace_back(e.get_string());
  return m;
}

/// A bucket that somebody else made and filled has the partitions that its keys show.
task<result<void>> fits_its_keys(nats::connection& nc, const bucket& store, unsigned partitions) {
  auto first = co_await nats::next_message(nc, store.stream(), "$KV." + store.name() + ".>", 1);
  if (!first && first.error().code == errc::not_found) co_return result<void>{};
  if (!first) co_return first.error();
  const auto key = record_key::parse(std::string_view(first->subject).substr(5 + store.name().size()));
  if (!key || key->partition == partition_of(key->did, partitions)) co_return result<void>{};
  co_return fail(
      errc::mismatch,
      "bucket {} holds keys that kv.partitions = {} does not make ({}); set it to what they were made with (the "
      "forerunner's is 16), or use another bucket",
      store.name(), partitions, first->subject);
}

/// Before several stores could live in one account, what a store keeps beside its records bore the plain names,
/// whatever its bucket was called. Such states are not silently begun anew.
task<result<void>> not_kept_under_old_names(nats::connection& nc, const store_names& names,
                                            const nats::stream_state& store) {
  const store_names plain("record");
  if (names == plain) co_return result<void>{};
  auto old = co_await read_meta(nc, plain);
  if (!old && old.error().code != errc::not_found) co_return old.error();
  if (!old || old->created != store.created) co_return result<void>{};
  co_return fail(errc::mismatch,
                 "bucket {} was kept by an earlier version, whose states of its accounts stand in bucket {} and belong "
                 "into {} now; docs/operations.md, Upgrade, says how to move them",
                 names.bucket(), plain.repo(), names.repo());
}

}  // namespace

task<result<store_meta>> read_meta(nats::connection& nc, store_names names) {
  bucket repo(nc, names.repo());
  auto found = co_await repo.get("meta");
  if (!found) co_return found.error();
  if (found->deleted) co_return fail(errc::not_found, "key meta was deleted");
  auto m = parse(found->value);
  if (m) m->seq = found->seq;
  co_return m;
}

task<result<void>> write_meta(nats::connection& nc, store_names names, store_meta& m) {
  bucket repo(nc, names.repo());
  write w{.key = "meta", .value = to_json(m), .expected = m.seq};
  auto done = co_await repo.update(std::move(w));
  if (!done) co_return done.error();
  m.seq = *done;
  co_return result<void>{};
}

task<result<opened_store>> open_store(nats::connection& nc, store_names names, unsigned partitions, int replicas) {
  bucket store(nc, names.bucket()), repo(nc, names.repo());
  auto store_open = co_await store.open("file", replicas);
  if (!store_open) co_return store_open.error();
  auto repo_open = co_await repo.open("file", replicas);
  if (!repo_open) co_return repo_open.error();
  for (;;) {
    auto meta = co_await read_meta(nc, names);
    if (meta) {
      if (meta->partitions != partitions)
        co_return fail(errc::mismatch,
                       "the store was made with kv.partitions = {}, this configuration says {}; set it to {} or make "
                       "another store",
                       meta->partitions, partitions, meta->partitions);
      if (meta->created != store_open->state.created)
        co_return fail(
            errc::mismatch,
            "bucket {} was recreated (now {}, the accounts' states belong to that of {}); restore the old one from "
            "a backup, or, if this one is meant, remove the old states (nats stream rm {}) and start again",
            names.bucket(), store_open->state.created, meta->created, repo.stream());
      // Two that begin a store at once may each have made one of its streams; the faster one wrote down his own.
      for (const auto& [stream, made] : {std::pair(store.stream(), store_open->made), {repo.stream(), repo_open->made}})
        if (made && std::ranges::find(meta->made, stream) == meta->made.end())
          if (auto noted = co_await remember_made(nc, names, stream); !noted) co_return noted.error();
      co_return opened_store{store_open->state, *meta};
    }
    if (meta.error().code != errc::not_found) co_return meta.error();
    if (auto fresh = co_await not_kept_under_old_names(nc, names, store_open->state); !fresh) co_return fresh.error();
    if (auto fits = co_await fits_its_keys(nc, store, partitions); !fits) co_return fits.error();
    // A restored stream keeps its date of creation (nats-server 2.15.2). Its states do not come with it, so a number
    // that was never used before tells the views, however far the store has grown meanwhile.
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    store_meta fresh{
        .partitions = partitions,
        .created = store_open->state.created,
        .generation = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count())};
    if (store_open->made) fresh.made.push_back(store.stream());
    if (repo_open->made) fresh.made.push_back(repo.stream());
    if (auto marker = co_await repo.get("meta"); marker && marker->deleted) fresh.seq = marker->seq;  // by hand
    auto written = co_await write_meta(nc, names, fresh);
    if (written) co_return opened_store{store_open->state, fresh};
    if (written.error().code != errc::conflict)
      co_return written.error();  // else: another process was faster, look again
  }
}

task<result<void>> remember_made(nats::connection& nc, store_names names, std::string stream) {
  for (;;) {
    auto meta = co_await read_meta(nc, names);
    if (!meta) co_return meta.error();
    if (std::find(meta->made.begin(), meta->made.end(), stream) != meta->made.end()) co_return result<void>{};
    meta->made.push_back(stream);
    auto written = co_await write_meta(nc, names, *meta);
    if (written || written.error().code != errc::conflict) co_return written;
  }
}

}  // namespace recordkv::kv
