// From messages of the buffer to events.
//
// Owns: the type of decoder that the pipeline takes, and two decoders: one on the loop, one on other threads.
// Does not know: accounts and their order.
#pragma once

#include "accounts/kv_event.hpp"
#include "accounts/worker_pool.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <functional>
#include <string_view>
#include <vector>

namespace recordkv::stages {

/// Turns messages into their events, in the order of the stream. A message holds one frame, or several
/// (kv/frame_batch.hpp). It may suspend and use other threads, but returns on the loop's thread. A frame that can't be
/// decoded also becomes an event (kv_event::undecoded), and so does a message whose frames can't be told apart.
using event_decoder = std::function<task<std::vector<kv_event>>(std::vector<nats::message> batch)>;

/// atproto::decode_event or decode_provable. Pure, and safe on any thread.
using decode_function = std::function<result<atproto::repo_event>(std::string_view payload)>;

/// Decodes on the loop's thread, and verifies nothing.
task<std::vector<kv_event>> decode_unverified(std::vector<nats::message> batch);

/// Decodes on the pool, which must outlive the decoder. Messages stay on the loop's thread; the pool only reads their
/// bytes.
event_decoder decode_on(worker_pool& pool, decode_function decode);

}  // namespace recordkv::stages
