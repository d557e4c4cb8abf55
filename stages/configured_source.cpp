#include "configured_source.hpp"

#include "recordkv/kv/record_key.hpp"

namespace recordkv::stages {
namespace {

// "wss://relay.example/path" -> "relay.example"; a file's name as it is.
std::string host_of(std::string_view url) {
  if (const auto scheme = url.find("://"); scheme != url.npos)
    url.remove_prefix(scheme + 3);
  else
    return std::string(url);
  return std::string(url.substr(0, url.find_first_of("/?")));
}

}  // namespace

std::string source_name(const config& cfg) { return cfg.source.kind + "." + kv::encode_part(host_of(cfg.source.url)); }

std::unique_ptr<firehose::frame_source> make_source(stage_context& ctx, std::optional<std::uint64_t> at) {
  const auto& c = ctx.cfg.source;
  firehose::source_spec spec{.url = c.url, .collections = c.collections, .dids = ctx.cfg.repos.dids, .cursor = at};
  spec.start = c.start == "oldest" ? firehose::start_at::oldest : firehose::start_at::live;
  const asio::any_io_executor ex = ctx.nc.io().get_executor();
  if (c.kind == "firehose") return firehose::make_subscribe_repos(ex, std::move(spec), ctx.counters);
  if (c.kind == "jetstream") return firehose::make_jetstream(ex, std::move(spec), ctx.counters);
  return firehose::make_file(ex, std::move(spec), ctx.counters);
}

}  // namespace recordkv::stages
