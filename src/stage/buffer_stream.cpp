#include "recordkv/stage/buffer_stream.hpp"

#include "recordkv/kv/store_meta.hpp"

namespace recordkv::stages {

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

}  // namespace recordkv::stages
