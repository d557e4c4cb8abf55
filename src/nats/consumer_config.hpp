// The configuration of a consumer, as JetStream's API takes it, and its comparison with an existing consumer.
//
// Owns: the JSON of the configuration, and the seal in it: a hash that shows whether another program edited it.
// Does not know: requests and pulling (pull_consumer.cpp).
#pragma once

#include "recordkv/nats/jetstream.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <vector>

namespace recordkv::nats {

/// `start`: the first stream sequence to deliver; 0 or 1: from the first message. Of a durable, the metadata key
/// `recordkv` holds a hash of the settings that decide which messages are delivered, and how.
boost::json::object config_of(const consumer_spec& s, std::uint64_t start);

/// Compares the settings on which an existing durable must agree. Each difference names both sides. Some settings are
/// not compared: those that do not change the delivery (place, replicas, description), the start, which each rewind
/// moves, and a pause, which is a stall of its own.
std::vector<std::string> differences(const boost::json::object& want, const boost::json::object& have);

/// intact: unchanged since recordkv made it, perhaps for another spec. none: an earlier version, or another program,
/// made it. broken: recordkv made it, and another program has edited it since.
enum class seal { intact, none, broken };
seal seal_of(const boost::json::object& have);

}  // namespace recordkv::nats
