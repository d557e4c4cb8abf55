// com.atproto.sync.subscribeRepos as a dialect.
//
// Owns: its path and its cursor parameter. Does not know: reconnecting, and what frames contain.
#include "stream_source.hpp"

#include "recordkv/firehose/source_kinds.hpp"

namespace recordkv::firehose {
namespace {

result<opening> open_subscribe_repos(const std::string& url, const resume_point& from) {
  auto parsed = parse_ws_url(url);
  if (!parsed) return parsed.error();
  if (parsed->path.empty()) parsed->path = "/xrpc/com.atproto.sync.subscribeRepos";
  const auto oldest = from.start == start_at::oldest ? std::optional<std::uint64_t>(0) : std::nullopt;
  if (const auto at = from.seq ? from.seq : from.behind ? from.behind : oldest) {
    if (!parsed->query.empty()) parsed->query += '&';
    parsed->query += fmt::format("cursor={}", *at);
  }
  return opening{std::move(*parsed), {}};
}

}  // namespace

std::unique_ptr<frame_source> make_subscribe_repos(asio::any_io_executor ex, source_spec spec, meters& counters) {
  dialect d;
  d.part = "firehose";
  d.carrier = ws_message::type::binary;
  d.strict_order = true;
  d.summarise = atproto::summarise_frame;
  d.open = [url = spec.url](const resume_point& from) { return open_subscribe_repos(url, from); };
  return std::make_unique<stream_source>(std::move(ex), std::move(spec), std::move(d), counters);
}

}  // namespace recordkv::firehose
