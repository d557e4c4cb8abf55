#include "configured_lists.hpp"

#include "recordkv/http/url.hpp"
#include "recordkv/kv/bucket.hpp"

namespace recordkv::stages {
namespace {

task<result<std::string>> load(stage_context& ctx, std::string key) {
  kv::bucket repo(ctx.nc, ctx.names().repo());
  auto known = co_await repo.get(std::move(key));
  if (!known && known.error().code == errc::not_found) co_return std::string();
  if (!known) co_return known.error();
  co_return known->deleted ? std::string() : std::move(known->value);
}

task<result<void>> save(stage_context& ctx, std::string key, std::string progress) {
  kv::bucket repo(ctx.nc, ctx.names().repo());
  auto put = co_await repo.put(std::move(key), std::move(progress));
  co_return put ? result<void>() : put.error();
}

}  // namespace

std::string lists_host_of_source(const std::string& source_url) {
  if (!source_url.starts_with("ws")) return source_url;
  const auto as_http = "http" + source_url.substr(2);  // ws:// and wss://
  const auto where = http::parse_url(as_http.substr(0, as_http.find('?')));
  return where ? where->origin() : as_http;
}

std::optional<lists_rules> configured_lists(const config& cfg) {
  using mode = lists_rules::mode;
  const auto& c = cfg.repos;
  if (c.mode == "live") return {};
  lists_rules rules{.what = c.mode == "list"     ? mode::list
                            : c.mode == "signal" ? mode::signal
                                                 : mode::all,
                    .names = c.dids,
                    .collection = c.signal_collection,
                    .host = c.list_host.empty() ? lists_host_of_source(cfg.source.url) : c.list_host,
                    .each_host = c.each_host && c.mode == "all",
                    .refresh = c.refresh};
  if (const auto where = http::parse_url(rules.host)) rules.host = where->origin();
  return rules;
}

beginning configured_beginning(const config& cfg) {
  const auto& mode = cfg.repos.mode;
  return mode == "list"     ? beginning::never
         : mode == "signal" ? beginning::with_signal
         : mode == "all"    ? beginning::with_any
                            : beginning::with_wanted;
}

void keep_progress(lists_port& port, stage_context& ctx, const std::string& durable) {
  const auto key = "follow." + durable;
  port.load = [&ctx, key] { return load(ctx, key); };
  port.save = [&ctx, key](std::string progress) { return save(ctx, key, std::move(progress)); };
}

}  // namespace recordkv::stages
