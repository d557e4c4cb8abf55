// The settings of a nats.c connection, and an attempt to connect. Refusals are explained in words.
//
// Owns: every option that does not concern the loop; the order in which servers are tried.
// Does not know: Asio, what the connection is for.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/nats/connection.hpp"

#include <memory>

struct __natsConnection;
struct __natsOptions;

namespace recordkv::nats {

using options = std::unique_ptr<__natsOptions, void (*)(__natsOptions*)>;

/// `config` must outlive the options and their connection: the seed is read at every connect.
result<options> options_for(const nats_config& config, int read_size);

/// With several servers nats.c reports the error of the last one only. A server that refuses the process would be
/// hidden by one that is down. With `each_last`, each server is the last one once, until one answers.
result<__natsConnection*> dial(__natsOptions* with, const nats_config& config, bool each_last);

}  // namespace recordkv::nats
