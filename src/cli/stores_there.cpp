#include "stores_there.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>

namespace recordkv::cli {
namespace {

constexpr std::string_view prefix = "KV_";
constexpr std::size_t max_buckets = 256;  // each is read

task<result<std::vector<std::string>>> all_buckets(nats::connection& nc) {
  std::vector<std::string> out;
  for (std::size_t offset = 0;;) {
    auto page = co_await nats::api(nc, "STREAM.NAMES", fmt::format(R"({{"subject":"$KV.>","offset":{}}})", offset));
    if (!page) co_return page.error();
    const auto names = texts_field(*page, "streams");
    for (const auto& n : names)
      if (n.starts_with(prefix)) out.push_back(n.substr(prefix.size()));
    offset += names.size();
    if (names.empty() || out.size() > max_buckets || offset >= unsigned_field(*page, "total")) co_return out;
  }
}

task<bool> holds_records(nats::connection& nc, std::string bucket) {
  auto first = co_await nats::next_message(nc, "KV_" + bucket, "$KV." + bucket + ".>", 1);
  if (!first) co_return false;
  co_return kv::record_key::parse(std::string_view(first->subject).substr(bucket.size() + 5)).has_value();
}

// True for the buckets that a store keeps beside its records.
bool beside_a_store(std::string_view bucket) {
  return std::ranges::any_of(std::array{"cursor", "lock", "repo"}, [bucket](std::string_view what) {
    return bucket == what || bucket.ends_with("_" + std::string(what));
  });
}

std::string named(const std::vector<std::string>& buckets) {
  return fmt::format("there {}: {}", buckets.size() == 1 ? "is" : "are", fmt::join(buckets, ", "));
}

}  // namespace

task<result<std::vector<std::string>>> record_buckets(nats::connection& nc) {
  auto all = co_await all_buckets(nc);
  if (!all) co_return all.error();
  std::vector<std::string> out;
  for (const auto& b : *all) {
    if (beside_a_store(b)) continue;
    // An empty store has no key by which it could be recognised.
    auto meta = co_await kv::read_meta(nc, b);
    const bool own = meta && std::ranges::find(meta->made, kv::store_names::stream_of(b)) != meta->made.end();
    if (own || co_await holds_records(nc, b)) out.push_back(b);
  }
  co_return out;
}

task<unsigned> store_partitions(session s) {
  auto meta = co_await kv::read_meta(s.nc, s.names());
  co_return meta ? meta->partitions : s.cfg.kv.partitions;
}

task<result<void>> store_is_there(session s) {
  auto there = co_await nats::stream_info(s.nc, s.names().store());
  if (there) co_return result<void>{};
  if (there.error().code != errc::not_found) co_return there.error();
  auto others = co_await record_buckets(s.nc);
  if (others && !others->empty())
    co_return fail(errc::not_found, "there is no bucket {}; {} (kv.bucket)", s.cfg.kv.bucket, named(*others));
  co_return fail(errc::not_found, "there is no store yet: no bucket {} and no other; run recordkv first",
                 s.cfg.kv.bucket);
}

task<result<void>> not_mistyped(session s) {
  auto there = co_await store_is_there(s);
  if (there || there.error().code != errc::not_found) co_return there;
  auto others = co_await record_buckets(s.nc);
  if (!others) co_return others.error();
  co_return others->empty() ? result<void>{} : there;
}

task<result<void>> may_make_store(session s) {
  auto fits = co_await not_mistyped(s);
  if (fits || fits.error().code != errc::not_found) co_return fits;
  co_return fail(errc::bad_config, "put: {}; a second store is made by recordkv run, not by put", fits.error().text);
}

}  // namespace recordkv::cli
