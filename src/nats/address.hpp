// nats.url taken apart: the servers it names, where each listens, whether TLS is asked for.
//
// Owns: the text of the addresses. Refuses to know: sockets, nats.c.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::nats {

/// One string a server. A comma parts them, except inside the user information of one: a password may hold commas.
std::vector<std::string> split_urls(std::string_view urls);

struct endpoint {
  std::string host, port;
};

endpoint endpoint_of(std::string_view url);

bool asks_for_tls(std::string_view urls);

}  // namespace recordkv::nats
