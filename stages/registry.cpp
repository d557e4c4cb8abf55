// The table of stages, in pipe order, and what their files share.
#include "stages.hpp"

#include "recordkv/kv/store_meta.hpp"

#include <fmt/chrono.h>

namespace recordkv {

std::span<const stage_entry> builtin_stages() {
  static constexpr stage_entry table[] = {
      {"ingest", stages::make_ingest, "follow the network: source -> stream ingest"},
      {"kv", stages::make_kv, "build the store: stream ingest -> bucket record"},
      {"index", stages::make_index, "keep the views: bucket record -> database"},
  };
  return table;
}

namespace stages {

task<result<nats::ensured>> open_ingest_stream(stage_context& ctx) {
  const auto& c = ctx.cfg;
  nats::stream_spec spec{.name = "ingest",
                         .work_queue = true,
                         .max_msgs = c.ingest.max_msgs,
                         .max_bytes = c.ingest.max_bytes,
                         .storage = c.ingest.storage,
                         .replicas = c.nats.replicas};
  spec.subjects.push_back("ingest.*");
  auto opened = co_await nats::ensure(ctx.nc, std::move(spec));
  if (opened && opened->made) (void)co_await kv::remember_made(ctx.nc, "ingest");
  co_return opened;
}

std::string report_tail(const health& h, const meters& counters, std::string_view prefix) {
  std::string out;
  if (const auto& ill = h.present()) {
    std::string reason;
    for (const char c : ill->reason) reason += c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20 ? '\'' : c;
    out = fmt::format(R"(,"state":"stalled","reason":"{}","stalled_since":"{:%FT%TZ}")", reason,
                      fmt::gmtime(std::chrono::system_clock::to_time_t(ill->since)));
  } else {
    out = R"(,"state":"running")";
  }
  out += R"(,"counted":{)";
  const char* comma = "";
  for (const auto& [key, value] : counters.all()) {
    if (!key.first.starts_with(prefix) || key.second.empty() || value == 0) continue;
    out += fmt::format(R"({}"{} {}":{})", comma, key.first, key.second, value);
    comma = ",";
  }
  return out + "}";
}

}  // namespace stages
}  // namespace recordkv
