// The table of stages, in pipe order, and what their files share.
#include "stages.hpp"

#include "recordkv/kv/store_meta.hpp"

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
  nats::stream_spec spec{.name = ctx.names().buffer(),
                         .work_queue = true,
                         .max_msgs = c.ingest.max_msgs,
                         .max_bytes = c.ingest.max_bytes,
                         .storage = c.ingest.storage,
                         .replicas = c.nats.replicas};
  spec.subjects.push_back(ctx.names().buffer_subject("*"));
  auto opened = co_await nats::ensure(ctx.nc, std::move(spec));
  if (opened && opened->made) (void)co_await kv::remember_made(ctx.nc, ctx.names(), ctx.names().buffer());
  co_return opened;
}

}  // namespace stages
}  // namespace recordkv
