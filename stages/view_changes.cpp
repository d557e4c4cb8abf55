#include "view_changes.hpp"

#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::stages {

std::uint64_t lowest_of(const view::position& at, const std::vector<std::string>& labels) {
  std::uint64_t low = UINT64_MAX;
  for (const auto& l : labels) {
    const auto it = at.seq.find(l);
    low = std::min(low, it == at.seq.end() ? 0 : it->second);
  }
  return low == UINT64_MAX ? 0 : low;
}

fresh_changes changes_of(const std::vector<nats::message>& batch, std::string_view prefix, std::string_view collection,
                         const view::position& at, meters& counters) {
  fresh_changes out;
  out.changes.reserve(batch.size());
  for (const auto& m : batch) {
    const auto d = nats::parse_delivery(m.reply());
    auto key = kv::record_key::parse(m.subject().substr(std::min(prefix.size(), m.subject().size())));
    out.last = std::max(out.last, d->stream_seq);
    if (!key || key->collection != collection) {
      counters.add("left_out", "not_a_record");
      continue;
    }
    const auto known = at.seq.find(key->partition);
    if (known != at.seq.end() && d->stream_seq <= known->second) {
      counters.add("skipped", "older");
      continue;
    }
    const bool erase = !m.header_value("KV-Operation").empty() || m.data().empty();
    out.changes.push_back({erase, std::move(key->did), std::move(key->collection), std::move(key->rkey),
                           erase ? "" : std::string(m.data())});
  }
  return out;
}

}  // namespace recordkv::stages
