// Jetstream as a dialect: v1's /subscribe, and v2's subscribeEvents.
//
// Owns: paths, parameters, the options message, and how far back a resume reaches.
// Does not know: reconnecting, what events contain.
#include "stream_source.hpp"

#include "recordkv/core/foreign_text.hpp"
#include "recordkv/firehose/source_kinds.hpp"

namespace recordkv::firehose {
namespace {

constexpr std::size_t max_collections = 100;
constexpr std::size_t max_dids = 10'000;
constexpr std::size_t max_query = 8 * 1024;  // what servers and proxies take in a request line

constexpr std::uint64_t rewind_us = 5'000'000;  // another instance behind the same name may have another clock

constexpr std::string_view v2_path = "/xrpc/network.bsky.jetstream.subscribeEvents";

std::uint64_t cursor_for(std::uint64_t seq) { return seq < first_time_us + rewind_us ? seq : seq - rewind_us; }

// v2 refuses a sequence number that it no longer has, such as 0. It accepts the oldest time, and begins at what it has.
std::uint64_t oldest_for(bool v2) { return v2 ? first_time_us : 0; }

std::vector<std::string> wanted(const std::vector<std::string>& collections) {
  for (const auto& c : collections)
    if (c == "*") return {};
  return collections;
}

std::string repeated(std::string_view name, const std::vector<std::string>& values) {
  std::string out;
  for (const auto& v : values) out += fmt::format("&{}={}", name, query_text(v));
  return out;
}

// The configuration has checked the syntax of collections and DIDs. Characters that would need an escape are dropped.
std::string json_array(const std::vector<std::string>& values) {
  std::string out = "[";
  for (const auto& v : values) {
    out += out.size() > 1 ? ",\"" : "\"";
    for (const char c : v)
      if (c != '"' && c != '\\' && static_cast<unsigned char>(c) >= ' ') out += c;
    out += '"';
  }
  return out + ']';
}

result<opening> open_jetstream(const source_spec& spec, const resume_point& from) {
  auto parsed = parse_ws_url(spec.url);
  if (!parsed) return parsed.error();
  const auto collections = wanted(spec.collections);
  if (collections.size() > max_collections || spec.dids.size() > max_dids) {
    return fail(errc::bad_config, "jetstream takes at most {} collections and {} accounts; {} and {} are configured",
                max_collections, max_dids, collections.size(), spec.dids.size());
  }
  opening out{std::move(*parsed), {}};
  if (out.url.path.empty()) out.url.path = "/subscribe";
  const bool v2 = out.url.path == v2_path;
  std::string& query = out.url.query;
  if (const auto at = from.seq ? std::optional(cursor_for(*from.seq)) : from.behind)
    query += fmt::format("&cursor={}", *at == 0 ? oldest_for(v2) : *at);
  else if (from.start == start_at::oldest)
    query += fmt::format("&cursor={}", oldest_for(v2));
  const std::string filter =
      repeated(v2 ? "collections" : "wantedCollections", collections) + repeated(v2 ? "dids" : "wantedDids", spec.dids);
  if (query.size() + filter.size() <= max_query) {
    query += filter;
  } else if (v2) {
    return fail(errc::bad_config, "so many accounts do not fit into Jetstream's subscribeEvents; use its /subscribe");
  } else {
    query += "&requireHello=true";
    out.hello = fmt::format(
        R"({{"type":"options_update","payload":{{"wantedCollections":{},"wantedDids":{},"maxMessageSizeBytes":0}}}})",
        json_array(collections), json_array(spec.dids));
  }
  if (query.starts_with('&')) query.erase(0, 1);
  return out;
}

}  // namespace

std::unique_ptr<frame_source> make_jetstream(asio::any_io_executor ex, source_spec spec, meters& counters) {
  dialect d;
  d.part = "jetstream";
  d.carrier = ws_message::type::text;
  d.summarise = atproto::summarise_jetstream;
  d.open = [spec](const resume_point& from) { return open_jetstream(spec, from); };
  return std::make_unique<stream_source>(std::move(ex), std::move(spec), std::move(d), counters);
}

}  // namespace recordkv::firehose
