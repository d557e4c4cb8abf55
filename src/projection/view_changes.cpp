#include "recordkv/projection/view_changes.hpp"

#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::projection {
namespace {

// Every DID, NSID and record key consists of these characters. (atproto::is_did and the others check more, at five
// times the cost.) A database may not accept other bytes as text: PostgreSQL refuses NUL and invalid UTF-8.
bool visible(std::string_view s) {
  return std::ranges::all_of(s, [](char c) { return c > ' ' && c <= '~'; });
}

/// The key's parts, if it is the only valid key of its record.
std::optional<kv::record_key> key_of(std::string_view text, unsigned partitions) {
  auto key = kv::record_key::parse(text);
  if (!key || !visible(key->did) || !visible(key->collection) || !visible(key->rkey) ||
      key->partition != kv::partition_of(key->did, partitions) || key->text() != text)
    return std::nullopt;
  return key;
}

view::change change_of(const view_reading& how, const nats::message& m, kv::record_key key, std::uint64_t seq) {
  view::change c;
  c.seq = seq;
  // A delete marker is empty (ADR-8). Looking into the headers of every record would cost more than all the rest.
  c.erase = m.data().empty();
  view::record r{.did = key.did, .collection = key.collection, .rkey = key.rkey, .json = m.data()};
  if (how.headers) {
    r.cid = m.header_value("cid");
    r.rev = m.header_value("rev");
    r.time = m.header_value("time");
  }
  if (!c.erase) {
    auto taken = view::extract(how.plan, r);
    c.rows = std::move(taken.rows);
    c.rejection_reason = std::move(taken.rejection_reason);
  }
  if (how.plan.has_hooks()) {
    c.cid = r.cid;
    c.rev = r.rev;
    c.time = r.time;
    c.json = r.json;
  }
  c.did = std::move(key.did);
  c.collection = std::move(key.collection);
  c.rkey = std::move(key.rkey);
  return c;
}

bool looks_at_headers(const view::plan& p) {
  return p.has_hooks() || std::ranges::any_of(p.columns, [](const view::column& c) {
           return c.from == view::origin::cid || c.from == view::origin::rev || c.from == view::origin::time;
         });
}

}  // namespace

view_reading::view_reading(const view::plan& p, std::string subject_prefix, unsigned number_of_partitions)
    : plan(p), prefix(std::move(subject_prefix)), partitions(number_of_partitions), headers(looks_at_headers(p)) {}

std::uint64_t lowest_of(const view::position& at, const std::vector<std::string>& labels) {
  std::uint64_t low = UINT64_MAX;
  for (const auto& l : labels) {
    const auto it = at.seq.find(l);
    low = std::min(low, it == at.seq.end() ? 0 : it->second);
  }
  return low == UINT64_MAX ? 0 : low;
}

std::vector<std::string> subjects_of(const view::plan& p, std::string_view prefix,
                                     const std::vector<std::string>& labels) {
  std::vector<std::string> out;
  for (const auto& label : labels)
    for (std::string_view c : p.collections) {
      const bool exact = !c.ends_with('*');
      if (!exact) c.remove_suffix(std::min<std::size_t>(c.size(), 2));  // ".*", or "*" alone
      out.push_back(fmt::format("{}{}{}{}{}", prefix, label, c.empty() ? "" : ".", c, exact ? ".*.*" : ".>"));
    }
  return out;
}

fresh_changes changes_of(const view_reading& how, const nats::message* from, const nats::message* to,
                         const view::position& at, meters& counters) {
  fresh_changes out;
  out.changes.reserve(static_cast<std::size_t>(to - from));
  for (const auto* m = from; m != to; ++m) {
    const auto d = nats::parse_delivery(m->reply());
    out.last = std::max(out.last, d->stream_seq);
    auto key = key_of(m->subject().substr(std::min(how.prefix.size(), m->subject().size())), how.partitions);
    if (!key) {
      counters.add("skipped", "not_a_record");
      continue;
    }
    if (!how.plan.wants(key->collection)) continue;  // matched by a prefix's subject
    const auto known = at.seq.find(key->partition);
    if (known != at.seq.end() && d->stream_seq <= known->second) {
      counters.add("ignored", "older");
      continue;
    }
    out.changes.push_back(change_of(how, *m, std::move(*key), d->stream_seq));
  }
  return out;
}

}  // namespace recordkv::projection
