// Splits nats.url: the servers it names, where each listens, and whether TLS is requested.
//
// Owns: the text of the addresses. Does not know: sockets, nats.c.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::nats {

/// One string per server. A comma separates them, except within user information: a password may contain commas.
std::vector<std::string> split_urls(std::string_view urls);

struct endpoint {
  std::string host, port;
};

endpoint endpoint_of(std::string_view url);

bool asks_for_tls(std::string_view urls);

}  // namespace recordkv::nats
