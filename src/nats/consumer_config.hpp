// What a consumer is to be, as JetStream's API takes it, and whether one that is there is that.
//
// Owns: the JSON of a consumer's configuration. Refuses to know: asking and pulling (pull_consumer.cpp).
#pragma once

#include "recordkv/nats/jetstream.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <vector>

namespace recordkv::nats {

/// `start`: the first stream sequence wanted; 0 or 1: from the first message.
boost::json::object config_of(const consumer_spec& s, std::uint64_t start);

/// What must agree for an existing durable to be the one we mean: each difference with both sides.
std::vector<std::string> differences(const boost::json::object& want, const boost::json::object& have);

}  // namespace recordkv::nats
