// The parts of a request line's target. Pure.
//
// Owns: percent-decoding, the query.
// Does not know: which paths exist.
#pragma once

#include "recordkv/http/server.hpp"

#include <optional>
#include <string_view>

namespace recordkv::http {

struct target {
  std::string path;
  decltype(request::query) query;
};

/// "/views/likes?col=value" or "http://host/path"; '+' in a query is a space. nullopt: a '%' without two hex digits, a
/// control character, or another form.
std::optional<target> parse_target(std::string_view text);

}  // namespace recordkv::http
