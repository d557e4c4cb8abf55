// A connection of nats.c: its settings, and one attempt to get it, with refusals in words.
//
// Owns: every option that does not belong to the loop; the order in which servers are tried. Refuses to know: Asio,
// what the connection is for.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/nats/connection.hpp"

#include <memory>

struct __natsConnection;
struct __natsOptions;

namespace recordkv::nats {

using options = std::unique_ptr<__natsOptions, void (*)(__natsOptions*)>;

/// `config` outlives what is made of it: its seed is read at every connect.
result<options> options_for(const nats_config& config, int read_size);

/// With several servers nats.c answers for the last one only: one that refuses us would hide behind one that is dead.
/// `each_last` makes each of them the last once, until one does more than not answer.
result<__natsConnection*> dial(__natsOptions* with, const nats_config& config, bool each_last);

}  // namespace recordkv::nats
