// `get`, `ls`, `put`, `del`: single records, directly in the store.
//
// Owns: reading and writing one key by hand. Does not know: how views follow (wait.hpp).
#include "commands.hpp"
#include "output.hpp"
#include "stores_there.hpp"
#include "wait.hpp"

#include "recordkv/atproto/json.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <boost/json.hpp>

#include <iostream>
#include <iterator>

namespace recordkv::cli {
namespace {

struct place {
  std::string did, collection, rkey;
};

result<place> parse_record_uri(const std::string& uri) {
  const auto u = atproto::parse_at_uri(uri);
  if (!u || u->rkey.empty())
    return fail(errc::bad_config, "\"{}\" is no record's AT-URI; write at://DID/COLLECTION/RKEY", uri);
  if (!atproto::is_did(u->authority))
    return fail(errc::bad_config, "\"{}\" is a handle; records are kept under the account's DID, write that",
                u->authority);
  return place{std::string(u->authority), std::string(u->collection), std::string(u->rkey)};
}

task<int> print_record(session s, place p, invocation i) {
  if (auto there = co_await store_is_there(s); !there) co_return complain(there.error());
  const auto key = kv::record_key::of(p.did, p.collection, p.rkey, co_await store_partitions(s)).text();
  const auto subject = s.names().prefix() + key;
  auto m = co_await nats::last_message(s.nc, s.names().store(), subject);
  if (!m && m.error().code != errc::not_found) co_return complain(m.error());
  if (!m) co_return complain(fail(errc::not_found, "{} is not in the store", i.uri));
  if (!m->header_value("KV-Operation").empty())
    co_return complain(fail(errc::not_found, "{} was deleted, {}", i.uri, m->time));
  if (!i.meta) {
    write_out("{}\n", m->data);
    co_return done;
  }
  std::string cid(m->header_value("cid"));
  if (cid.empty())  // another program's value
    if (auto computed = atproto::cid_of_json(m->data)) cid = *computed;
  boost::json::object o{{"uri", i.uri},     {"cid", cid},    {"rev", m->header_value("rev")},
                        {"key", key},       {"seq", m->seq}, {"time", m->header_value("time")},
                        {"stored", m->time}};
  auto text = boost::json::serialize(o);
  text.back() = ',';
  write_out("{}\"value\":{}}}\n", text, m->data);
  co_return done;
}

// Filters for an account's keys in every collection: one for each number of segments, because an NSID spans several
// tokens.
std::vector<std::string> account_filters(const std::string& bucket, const std::string& partition,
                                         const std::string& did) {
  std::vector<std::string> out;
  std::string stars = "*.*.*";
  for (int segments = 3; segments <= 32; ++segments, stars += ".*")
    out.push_back(fmt::format("$KV.{}.{}.{}.{}.*", bucket, partition, stars, kv::encode_part(did)));
  return out;
}

task<int> list_records(session s, invocation i) {
  if (auto there = co_await store_is_there(s); !there) co_return complain(there.error());
  const auto partition = kv::partition_of(i.uri, co_await store_partitions(s));
  nats::consumer_spec spec{
      .stream = s.names().store(), .policy = nats::acks::none, .headers_only = true, .once = true, .credit = 4096};
  spec.filters = i.collection.empty() ? account_filters(s.cfg.kv.bucket, partition, i.uri)
                                      : std::vector{fmt::format("$KV.{}.{}.{}.{}.*", s.cfg.kv.bucket, partition,
                                                                i.collection, kv::encode_part(i.uri))};
  meters counters;
  nats::pull_consumer records(s.nc, std::move(spec), counters, s.facts.api_level);
  if (auto attached = co_await records.attach(); !attached) co_return complain(attached.error());
  const auto prefix = s.names().prefix();
  std::uint64_t found = 0;
  while (records.pending() > 0) {
    auto batch = co_await records.next();
    if (!batch && batch.error().code == errc::closed) break;
    if (!batch) co_return complain(batch.error());
    for (const auto& m : *batch) {
      const auto key = kv::record_key::parse(m.subject().substr(prefix.size()));
      if (!key || !m.header_value("KV-Operation").empty()) continue;
      write_out("at://{}/{}/{}\n", key->did, key->collection, key->rkey);
      ++found;
    }
    if (!flush_output()) break;  // the rest would go nowhere
  }
  co_return found > 0 ? done : no;
}

task<result<void>> mark_put_used(session s) {
  for (;;) {
    auto meta = co_await kv::read_meta(s.nc, s.names());
    if (!meta) co_return meta.error();
    if (meta->put_used) co_return result<void>{};
    meta->put_used = true;
    auto written = co_await kv::write_meta(s.nc, s.names(), *meta);
    if (written || written.error().code != errc::conflict) co_return written;
  }
}

struct hand_made {
  place at;
  std::string json;  // empty: a delete
  std::string cid;
  bool and_wait = false;
  std::string uri() const { return fmt::format("at://{}/{}/{}", at.did, at.collection, at.rkey); }
};

// The mark in `meta` comes first: a later comparison would overlook a hand-made record that is not announced there.
task<result<std::uint64_t>> store_record(session s, hand_made r) {
  auto store = co_await kv::open_store(s.nc, s.names(), co_await store_partitions(s), s.cfg.nats.replicas);
  if (!store) co_return store.error();
  const auto subject =
      s.names().prefix() + kv::record_key::of(r.at.did, r.at.collection, r.at.rkey, store->meta.partitions).text();
  auto before = co_await nats::last_message(s.nc, s.names().store(), subject);
  const bool exists = before && before->header_value("KV-Operation").empty();
  if (r.json.empty() && !exists) co_return fail(errc::not_found, "{} is not in the store", r.uri());
  if (auto marked = co_await mark_put_used(s); !marked) co_return marked.error();
  nats::request_spec write{.subject = subject, .data = r.json};
  write.headers.push_back({"time", timestamp_now()});
  if (r.json.empty()) write.headers.push_back({"KV-Operation", "DEL"});
  if (!r.cid.empty()) write.headers.push_back({"cid", r.cid});
  write.headers.push_back({"op", r.json.empty() ? "delete" : exists ? "update" : "create"});
  auto reply = co_await s.nc.request(std::move(write));
  if (!reply) co_return reply.error();
  co_return nats::parse_pub_ack(reply->data());
}

// Everything that may be refused is refused before anything is made or written.
task<int> write_record(session s, hand_made r) {
  auto allowed = r.json.empty() ? co_await store_is_there(s) : co_await may_make_store(s);
  if (!allowed) co_return complain(allowed.error());
  if (r.and_wait)
    if (auto can = co_await views_can_follow(s, r.at.collection); !can) co_return complain(can.error());
  if (auto stored = co_await store_record(s, r); !stored) co_return complain(stored.error());
  if (!r.and_wait) co_return done;
  co_return co_await wait_for_views(s, r.uri(), "");
}

}  // namespace

int get(const invocation& i, const config& cfg) {
  auto p = parse_record_uri(i.uri);
  if (!p) return complain(p.error());
  return with_nats(cfg, [&](session s) { return print_record(s, *p, i); });
}

int ls(const invocation& i, const config& cfg) {
  if (!atproto::is_did(i.uri)) return complain(fail(errc::bad_config, "ls wants a DID; \"{}\" is not one", i.uri));
  if (!i.collection.empty() && !atproto::is_nsid(i.collection))
    return complain(
        fail(errc::bad_config, "\"{}\" is no collection (an NSID such as app.bsky.feed.like)", i.collection));
  return with_nats(cfg, [&](session s) { return list_records(s, i); });
}

int put(const invocation& i, const config& cfg) {
  auto p = parse_record_uri(i.uri);
  if (!p) return complain(p.error());
  auto json = i.text;
  if (json.empty() || json == "-") json.assign(std::istreambuf_iterator<char>(std::cin), {});
  while (!json.empty() && (json.back() == '\n' || json.back() == ' ')) json.pop_back();
  if (json.empty()) return complain(fail(errc::bad_config, "put: there is no record on standard input"));
  auto cid = atproto::cid_of_json(json);
  if (!cid) return complain(fail(errc::bad_config, "put: that is no record: {}", cid.error().text));
  const hand_made r{.at = *p, .json = json, .cid = *cid, .and_wait = i.wait};
  return with_nats(cfg, [&](session s) { return write_record(s, r); });
}

int del(const invocation& i, const config& cfg) {
  auto p = parse_record_uri(i.uri);
  if (!p) return complain(p.error());
  const hand_made r{.at = *p, .json = {}, .cid = {}, .and_wait = i.wait};
  return with_nats(cfg, [&](session s) { return write_record(s, r); });
}

}  // namespace recordkv::cli
