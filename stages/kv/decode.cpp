#include "decode.hpp"

#include <utility>

namespace recordkv::stages {
namespace {

// A chunk of messages is one job of the pool.
constexpr std::size_t messages_in_chunk = 32, bytes_in_chunk = std::size_t{256} << 10;

struct decoded {
  atproto::repo_event what;
  bool refused = false;
};

decoded decode_one(std::string_view payload, const decode_function& decode) {
  auto event = decode(payload);
  if (event) return {std::move(*event), false};
  return {atproto::undecoded(payload, event.error()), true};
}

kv_event event_of(nats::message&& m, decoded&& d) {
  const auto payload = m.data();
  const auto bytes = payload.size();
  const bool framed = !payload.empty() && payload.front() != '{';
  return {std::move(d.what), event_handle(std::move(m)), bytes, d.refused, framed};
}

// The end of the chunk that begins at `begin`; it holds at least one message.
std::size_t end_of_chunk(const std::vector<nats::message>& batch, std::size_t begin) {
  std::size_t end = begin, bytes = 0;
  do bytes += batch[end++].data().size();
  while (end < batch.size() && end - begin < messages_in_chunk && bytes < bytes_in_chunk);
  return end;
}

task<std::vector<kv_event>> decode_in_chunks(worker_pool& pool, const decode_function& decode,
                                             std::vector<nats::message> batch) {
  std::vector<decoded> found(batch.size());
  std::vector<worker_pool::job> jobs;
  for (std::size_t begin = 0; begin < batch.size();) {
    const auto end = end_of_chunk(batch, begin);
    jobs.emplace_back([&batch, &found, &decode, begin, end] {
      for (auto i = begin; i < end; ++i) found[i] = decode_one(batch[i].data(), decode);
    });
    begin = end;
  }
  co_await pool.run(std::move(jobs));
  std::vector<kv_event> events;
  events.reserve(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) events.push_back(event_of(std::move(batch[i]), std::move(found[i])));
  co_return events;
}

}  // namespace

task<std::vector<kv_event>> decode_unverified(std::vector<nats::message> batch) {
  static const decode_function decode = atproto::decode_event;
  std::vector<kv_event> events;
  events.reserve(batch.size());
  for (auto& m : batch) {
    auto what = decode_one(m.data(), decode);
    events.push_back(event_of(std::move(m), std::move(what)));
  }
  co_return events;
}

event_decoder decode_on(worker_pool& pool, decode_function decode) {
  return [&pool, decode = std::move(decode)](std::vector<nats::message> batch) {
    return decode_in_chunks(pool, decode, std::move(batch));
  };
}

}  // namespace recordkv::stages
