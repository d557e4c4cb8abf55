// From messages of the buffer to events.
//
// Owns: the shape of a decoder, which the pipeline is given, and the decoders: one on the loop, one on other threads.
// Does not know: accounts and their order.
#pragma once

#include "kv_event.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "worker_pool.hpp"

#include <functional>
#include <string_view>
#include <vector>

namespace recordkv::stages {

/// Turns a batch of messages into their events, in the order of the stream. It may suspend, and may use other threads
/// meanwhile; it returns on the loop's thread. A payload that it can't decode is an event, too (kv_event::undecoded).
using event_decoder = std::function<task<std::vector<kv_event>>(std::vector<nats::message> batch)>;

/// atproto::decode_event or decode_provable. Pure, and safe on any thread.
using decode_function = std::function<result<atproto::repo_event>(std::string_view payload)>;

/// Decodes on the loop's thread, and verifies nothing.
task<std::vector<kv_event>> decode_unverified(std::vector<nats::message> batch);

/// Decodes on the pool, which must outlive the decoder. Messages stay on the loop's thread; the pool sees their bytes.
event_decoder decode_on(worker_pool& pool, decode_function decode);

}  // namespace recordkv::stages
