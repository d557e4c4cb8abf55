#include "decode.hpp"

namespace recordkv::stages {
namespace {

kv_event decode_one(nats::message m) {
  auto decoded = atproto::decode_event(m.data());
  const bool refused = decoded.has_error();
  auto what = refused ? atproto::undecoded(m.data(), decoded.error()) : std::move(*decoded);
  const auto bytes = m.data().size();
  return {std::move(what), event_handle(std::move(m)), bytes, refused};
}

}  // namespace

task<std::vector<kv_event>> decode_unverified(std::vector<nats::message> batch) {
  std::vector<kv_event> events;
  events.reserve(batch.size());
  for (auto& m : batch) events.push_back(decode_one(std::move(m)));
  co_return events;
}

}  // namespace recordkv::stages
