// Which partitions a stage works on, and the removal of what an earlier assignment has left behind.
//
// Owns: reading `assign`, and removing durable consumers that no process runs any more.
// Does not know: what the partitions are used for.
#pragma once

#include "recordkv/config.hpp"
#include "recordkv/kv/lease.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <string>
#include <string_view>

namespace recordkv::stages {

/// The lease of a stage on the partitions that `assign` names. errc::bad_config names the configuration key.
result<kv::lease_spec> lease_spec_of(std::string base, std::string_view assign, const config& cfg);

/// Removes the durable consumers of an earlier assignment that overlap `mine`. The caller holds the lease of `mine`, so
/// no process runs them.
task<result<void>> remove_left_durables(nats::connection& nc, std::string stream, kv::lease_spec mine);

}  // namespace recordkv::stages
