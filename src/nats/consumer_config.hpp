// What a consumer is to be, as JetStream's API takes it, and whether one that is there is that.
//
// Owns: the JSON of a consumer's configuration, and the seal in it by which an edit of another program is known.
// Refuses to know: asking and pulling (pull_consumer.cpp).
#pragma once

#include "recordkv/nats/jetstream.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <vector>

namespace recordkv::nats {

/// `start`: the first stream sequence wanted; 0 or 1: from the first message. Sealed: metadata `recordkv` is a hash of
/// what decides which messages come, and how.
boost::json::object config_of(const consumer_spec& s, std::uint64_t start);

/// What must agree for an existing durable to be the one we mean: each difference with both sides. Left out is what
/// changes no delivery (place, replicas, description), what moves with each rewind (the start), and a pause, which is a
/// stall of its own.
std::vector<std::string> differences(const boost::json::object& want, const boost::json::object& have);

/// intact: as recordkv made it, though perhaps for another spec. none: an earlier version made it, or another program.
/// broken: recordkv made it, and another program has edited it since.
enum class seal { intact, none, broken };
seal seal_of(const boost::json::object& have);

}  // namespace recordkv::nats
