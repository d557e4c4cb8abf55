#include "recordkv/kv/store_meta.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <chrono>
#include <optional>

namespace recordkv::kv {
namespace json = boost::json;
namespace {

constexpr std::size_t enough_samples = 8;

json::array samples_to_json(const std::vector<store_sample>& samples) {
  json::array out;
  for (const auto& s : samples) out.push_back(json::object{{"seq", s.seq}, {"time", s.time}});
  return out;
}

std::string to_json(const store_meta& m) {
  return json::serialize(json::object{{"partitions", m.partitions},
                                      {"created", m.created},
                                      {"made", json::value_from(m.made)},
                                      {"put", m.put_used},
                                      {"generation", m.generation},
                                      {"was", json::value_from(m.was)},
                                      {"samples", samples_to_json(m.samples)}});
}

std::vector<store_sample> parse_samples(const json::object& meta) {
  std::vector<store_sample> out;
  const auto* samples = array_field(meta, "samples");
  if (samples == nullptr) return out;
  for (const auto& e : *samples) {
    const auto* o = e.if_object();
    if (o == nullptr || unsigned_field(*o, "seq") == 0 || text_field(*o, "time").empty()) continue;
    out.push_back({unsigned_field(*o, "seq"), std::string(text_field(*o, "time"))});
  }
  return out;
}

result<store_meta> parse(const std::string& text) {
  boost::system::error_code ec;
  const auto v = json::parse(text, ec);
  if (ec || !v.is_object())
    return fail(errc::malformed, "key meta of bucket repo is not a JSON object; recordkv did not write it");
  const auto& o = v.get_object();
  store_meta m;
  if (o.contains("partitions")) m.partitions = static_cast<unsigned>(unsigned_field(o, "partitions"));
  m.created = text_field(o, "created");
  m.put_used = flag_field(o, "put");
  m.generation = unsigned_field(o, "generation");
  m.made = texts_field(o, "made");
  m.was = texts_field(o, "was");
  m.samples = parse_samples(o);
  return m;
}

/// A bucket that another program made and filled has the partitions that its keys show.
task<result<void>> fits_its_keys(nats::connection& nc, const bucket& store, unsigned partitions) {
  auto first = co_await nats::next_message(nc, store.stream(), "$KV." + store.name() + ".>", 1);
  if (!first && first.error().code == errc::not_found) co_return result<void>{};
  if (!first) co_return first.error();
  const auto key = record_key::parse(std::string_view(first->subject).substr(5 + store.name().size()));
  if (!key || key->partition == partition_of(key->did, partitions)) co_return result<void>{};
  co_return fail(
      errc::mismatch,
      "bucket {} holds keys that kv.partitions = {} does not make ({}); set it to what they were made with (the "
      "partitions of nats-record-kv are 16), or use another bucket",
      store.name(), partitions, first->subject);
}

/// In earlier versions a store's other buckets always had the plain names. States under those names are refused here,
/// so that they are not silently started again.
task<result<void>> not_kept_under_old_names(nats::connection& nc, const store_names& names,
                                            const nats::stream_state& store) {
  const store_names plain("record");
  if (names == plain) co_return result<void>{};
  auto old = co_await read_meta(nc, plain);
  if (!old && old.error().code != errc::not_found) co_return old.error();
  if (!old || !old->is_of(store.created)) co_return result<void>{};
  co_return fail(errc::mismatch,
                 "bucket {} was kept by an earlier version, with its accounts' states in bucket {}; they belong "
                 "in {} now; docs/operations.md, Upgrade, says how to move them",
                 names.bucket(), plain.repo(), names.repo());
}

task<result<std::optional<store_sample>>> sample_at(nats::connection& nc, std::string stream, std::uint64_t seq) {
  auto m = co_await nats::api(nc, "STREAM.MSG.GET." + stream, json::serialize(json::object{{"seq", seq}}));
  if (!m && m.error().code == errc::not_found) co_return std::optional<store_sample>{};
  if (!m) co_return m.error();
  const auto* found = object_field(*m, "message");
  const auto time = found ? text_field(*found, "time") : std::string_view{};
  if (time.empty()) co_return fail(errc::refused, "STREAM.MSG.GET.{}: no message in the answer", stream);
  co_return store_sample{seq, std::string(time)};
}

struct sample_check {
  std::vector<store_sample> samples;
  bool contradicted = false;  ///< a sample's sequence now holds another message
};

task<result<sample_check>> check_samples(nats::connection& nc, std::string stream, std::vector<store_sample> samples) {
  sample_check out;
  for (const auto& s : samples) {
    auto there = co_await sample_at(nc, stream, s.seq);
    if (!there) co_return there.error();
    if (*there && **there == s) out.samples.push_back(s);
    if (*there && !(**there == s)) out.contradicted = true;
  }
  co_return out;
}

}  // namespace

bool store_meta::is_of(std::string_view creation_time) const {
  return created == creation_time || std::ranges::find(was, creation_time) != was.end();
}

task<result<void>> is_the_same(nats::connection& nc, store_names names, nats::stream_state store, store_meta& meta) {
  auto seen = co_await check_samples(nc, names.store(), meta.samples);
  if (!seen) co_return seen.error();
  const bool renamed = meta.created != store.created;
  // A power cut may have removed some samples and given their sequences to other messages. One unchanged sample is
  // enough.
  if (!seen->samples.empty() || (!renamed && !seen->contradicted)) {
    if (renamed) {
      log::warn("kv",
                "bucket {}: the server reports another creation time ({}, before: {}), but the records are the "
                "same; nats-server up to 2.12.14 and 2.14.5 does so after an edit of the stream and a restart",
                names.bucket(), store.created, meta.created);
      if (!meta.is_of(store.created)) meta.was.push_back(meta.created);
      std::erase(meta.was, store.created);
      if (std::ranges::find(meta.was, meta.created) == meta.was.end()) meta.was.push_back(meta.created);
      meta.created = store.created;
    }
    co_return result<void>{};
  }
  co_return fail(
      errc::mismatch,
      "bucket {} was recreated (now {}, the accounts' states belong to that of {}); restore the old one from "
      "a backup, or, if this one is meant, remove the old states (nats stream rm {}) and start again",
      names.bucket(), store.created, meta.created, store_names::stream_of(names.repo()));
}

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
      if (auto same = co_await is_the_same(nc, names, store_open->state, *meta); !same) co_return same.error();
      // Two processes that start a store at once may each have made one of its streams. The faster one noted only its
      // own.
      for (const auto& [stream, made] : {std::pair(store.stream(), store_open->made), {repo.stream(), repo_open->made}})
        if (made && std::ranges::find(meta->made, stream) == meta->made.end())
          if (auto noted = co_await remember_made(nc, names, stream); !noted) co_return noted.error();
      co_return opened_store{store_open->state, *meta, repo_open->state};
    }
    if (meta.error().code != errc::not_found) co_return meta.error();
    if (auto fresh = co_await not_kept_under_old_names(nc, names, store_open->state); !fresh) co_return fresh.error();
    if (auto fits = co_await fits_its_keys(nc, store, partitions); !fits) co_return fits.error();
    // A restored stream keeps its creation date (nats-server 2.15.2), but the states are not restored with it. A
    // generation that was never used before makes the views rebuild, however far the store has grown meanwhile.
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    store_meta fresh{
        .partitions = partitions,
        .created = store_open->state.created,
        .generation = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count())};
    if (store_open->made) fresh.made.push_back(store.stream());
    if (repo_open->made) fresh.made.push_back(repo.stream());
    if (auto marker = co_await repo.get("meta"); marker && marker->deleted) fresh.seq = marker->seq;  // deleted by hand
    auto written = co_await write_meta(nc, names, fresh);
    if (written) co_return opened_store{store_open->state, fresh, repo_open->state};
    if (written.error().code != errc::conflict)
      co_return written.error();  // otherwise another process was faster: read again
  }
}

task<result<void>> note_samples(nats::connection& nc, store_names names, opened_store now) {
  auto noted = co_await read_meta(nc, names);
  if (!noted) co_return noted.error();
  if (noted->generation != now.meta.generation) co_return result<void>{};  // the states were started again meanwhile
  auto seen = co_await check_samples(nc, names.store(), noted->samples);
  if (!seen) co_return seen.error();
  auto& samples = seen->samples;
  // The oldest and the newest message: most records are written once, and an account may be removed with all its
  // records.
  for (const auto seq : {now.store.first_seq, now.store.last_seq}) {
    const bool known = std::ranges::find(samples, seq, &store_sample::seq) != samples.end();
    if (samples.size() >= enough_samples || now.store.messages == 0 || known) continue;
    auto one = co_await sample_at(nc, names.store(), seq);
    if (!one) co_return one.error();
    if (*one) samples.push_back(**one);
  }
  // If no sample is left and none is new, the old ones are kept: they are no worse than an empty list.
  if (samples.empty()) co_return result<void>{};
  if (samples == noted->samples && noted->created == now.meta.created) co_return result<void>{};
  noted->samples = samples;
  noted->created = now.meta.created;
  noted->was = now.meta.was;
  auto written = co_await write_meta(nc, names, *noted);
  if (!written && written.error().code != errc::conflict) co_return written;
  co_return result<void>{};
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
