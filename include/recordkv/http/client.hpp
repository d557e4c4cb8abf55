// One HTTP GET after the other, to hosts that are named by hostile input.
//
// Owns: URLs, DNS, connecting (IPv4 and IPv6 in parallel), TLS, the bounds of head, body, time and redirects, and the
// rule which addresses may be connected to. The rule is applied to the address of the socket, after DNS.
// Does not know: DIDs, and what a body means. One thread: the loop's.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/address.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::http {

namespace asio = boost::asio;

/// Whether an address is of the public internet: no private, loopback, link-local, multicast, unspecified, shared,
/// benchmark, documentation or reserved range; no IPv4 address inside IPv6 (mapped, NAT64, 6to4, Teredo) that is such.
/// Source: IANA special-purpose address registries.
bool is_public(const asio::ip::address& address) noexcept;

/// The parts of an absolute http or https URL.
struct url {
  bool tls = true;
  std::string host;  ///< lower case; an IPv6 address without brackets
  std::uint16_t port = 443;
  std::string target = "/";  ///< path and query
};
/// errc::malformed: another scheme, user and password, a host that is none, a target with control characters.
result<url> parse_url(std::string_view text);

struct get_limits {
  std::chrono::milliseconds timeout{10'000};  ///< of the whole exchange, redirects included
  std::size_t head = 16 << 10;                ///< bytes of the response's head
  std::size_t body = 256 << 10;               ///< bytes of its body
  int redirects = 0;                          ///< how many are followed, each checked anew
};

/// Which hosts may be asked.
struct host_rule {
  bool allow_private = false;  ///< any address and port; http to loopback hosts
};

struct response {
  unsigned status = 0;
  std::string body;
  std::string retry_after;  ///< the header, as sent; empty: absent
  std::string content_type;
};

/// GET. errc::malformed: the URL, or a redirect, names a host, scheme, port or address that may not be asked; no
/// connection to such an address is opened. errc::too_large: a limit. errc::timed_out, errc::unreachable (DNS,
/// connection, TLS, an answer that is not HTTP). Any status is a success.
task<result<response>> get(const url& what, get_limits limits, host_rule rule);

}  // namespace recordkv::http
