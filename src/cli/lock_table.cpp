#include "lock_table.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/lease.hpp"

#include <boost/json.hpp>

namespace recordkv::cli {
namespace {

bool within_a_lease(const std::string& stored, const std::string& now) {
  const auto from = epoch_seconds(stored), to = epoch_seconds(now);
  return from && to && *to - *from <= static_cast<double>(kv::lease::period.count());
}

}  // namespace

task<result<std::vector<lock_row>>> read_locks(nats::connection& nc, kv::store_names names) {
  kv::bucket lock(nc, names.lock());
  auto keys = co_await lock.keys();
  std::vector<lock_row> rows;
  if (!keys && keys.error().code == errc::not_found) co_return rows;
  if (!keys) co_return keys.error();
  for (const auto& key : *keys) {
    auto found = co_await lock.get(key);
    if (!found || found->deleted) continue;
    boost::system::error_code ec;
    auto v = boost::json::parse(found->value, ec);
    if (ec || !v.is_object()) continue;
    auto& o = v.get_object();
    lock_row row{.key = key, .renewed = std::string(text_field(o, "renewed"))};
    row.pid = static_cast<int>(integer_field(o, "pid"));
    if (auto* r = o.if_contains("report"); r && r->is_object()) row.report = std::move(r->get_object());
    auto now = co_await nats::stream_info(nc, lock.stream());  // both times by the server's clock, not this machine's
    row.live = now && within_a_lease(found->time, now->asked_at);
    rows.push_back(std::move(row));
  }
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  co_return rows;
}

}  // namespace recordkv::cli
