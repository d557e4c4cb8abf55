// The fields of a Jetstream event that say what it is about, read without a tree of the whole text.
//
// Owns: where those fields stand in both envelopes. A field counts as in core/json_fields.hpp; of a repeated one the
// last counts. Does not know: what the fields mean (jetstream.cpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv::atproto {

struct jetstream_fields {
  /// The members of one object.
  struct object {
    bool there = false;
    std::string type, did, time, name, collection, rev;  // type: `$type`
    std::uint64_t seq = 0;
  };

  std::string type, kind, did, error, message;
  std::uint64_t time_us = 0, cursor = 0;
  object commit, payload;
};

/// nullopt: the text is no JSON object, or nested deeper than `max_depth`.
std::optional<jetstream_fields> read_jetstream_fields(std::string_view text, std::size_t max_depth);

}  // namespace recordkv::atproto
