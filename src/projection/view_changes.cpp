#include "recordkv/projection/view_changes.hpp"

#include <algorithm>

namespace recordkv::projection {
namespace {

// Looking into the headers of every record would cost more than all the rest.
stored_value value_of(const view_reading& how, const nats::message& m, std::uint64_t seq) {
  stored_value out{.cid = {}, .rev = {}, .time = {}, .json = m.data(), .seq = seq};
  if (!how.headers) return out;
  out.cid = m.header_value("cid");
  out.rev = m.header_value("rev");
  out.time = m.header_value("time");
  return out;
}

bool looks_at_headers(const view::plan& p) {
  return p.has_hooks() || std::ranges::any_of(p.columns, [](const view::column& c) {
           return c.from == view::origin::cid || c.from == view::origin::rev || c.from == view::origin::time;
         });
}

}  // namespace

view_reading::view_reading(const view::plan& p, const kv::store_names& names, unsigned partitions)
    : plan(p), from(p.rows_of, names, partitions), headers(looks_at_headers(p)) {}

view::change change_of(const view_reading& how, kv::record_key key, const stored_value& value) {
  view::change c;
  c.seq = value.seq;
  c.erase = value.json.empty();  // a delete marker (ADR-8)
  if (!c.erase) {
    auto taken = view::extract(how.plan, {.did = key.did,
                                          .collection = key.collection,
                                          .rkey = key.rkey,
                                          .cid = value.cid,
                                          .rev = value.rev,
                                          .time = value.time,
                                          .json = value.json});
    c.rows = std::move(taken.rows);
    c.rejection_reason = std::move(taken.rejection_reason);
  }
  if (how.plan.has_hooks()) {
    c.cid = value.cid;
    c.rev = value.rev;
    c.time = value.time;
    c.json = value.json;
  }
  c.did = std::move(key.did);
  c.collection = std::move(key.collection);
  c.rkey = std::move(key.rkey);
  return c;
}

std::uint64_t lowest_of(const view::position& at, const std::vector<std::string>& labels) {
  std::uint64_t low = UINT64_MAX;
  for (const auto& l : labels) {
    const auto it = at.seq.find(l);
    low = std::min(low, it == at.seq.end() ? 0 : it->second);
  }
  return low == UINT64_MAX ? 0 : low;
}

fresh_changes changes_of(const view_reading& how, const nats::message* from, const nats::message* to,
                         const view::position& at, meters& counters) {
  fresh_changes out;
  out.changes.reserve(static_cast<std::size_t>(to - from));
  for (const auto* m = from; m != to; ++m) {
    const auto d = nats::parse_delivery(m->reply());
    out.last = std::max(out.last, d->stream_seq);
    auto key = how.from.key_of(m->subject());
    if (!key) {
      if (!how.from.stray().empty()) counters.add("skipped", how.from.stray());
      continue;
    }
    if (!how.plan.wants(key->collection)) continue;  // matched by a prefix's subject
    const auto known = at.seq.find(key->partition);
    if (known != at.seq.end() && d->stream_seq <= known->second) {
      counters.add("ignored", "older");
      continue;
    }
    out.changes.push_back(change_of(how, std::move(*key), value_of(how, *m, d->stream_seq)));
  }
  return out;
}

}  // namespace recordkv::projection
