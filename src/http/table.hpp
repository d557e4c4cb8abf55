// Which route answers, and the answer when no route does. Pure.
//
// Owns: 404 with the list of paths, 405 with the allowed methods.
// Does not know: connections.
#pragma once

#include "recordkv/http/server.hpp"

#include <string_view>

namespace recordkv::http {

struct choice {
  const route* chosen = nullptr;
  response refused;   ///< where nothing is chosen
  std::string allow;  ///< for the header of that name; empty: no header
};

/// HEAD finds the routes of GET.
choice choose(const std::vector<route>& routes, std::string_view method, std::string_view path);

/// The head of an answer, with the empty line behind it.
std::string head_of(const response& r, std::string_view allow, bool keep);

}  // namespace recordkv::http
