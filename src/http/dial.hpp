// From addresses to one connected socket.
//
// Owns: the order of the addresses, IPv6 and IPv4 in turn, and the head start of each before the next.
// Does not know: names, TLS, and which addresses may be connected to. Source: RFC 8305 "Happy Eyeballs".
#pragma once

#include "cut_off.hpp"
#include "recordkv/core/result.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <vector>

namespace recordkv::http {

/// The first connection that stands; the others are dropped. errc::unreachable: none does. At most six are tried.
task<result<asio::ip::tcp::socket>> dial(asio::any_io_executor loop, std::vector<asio::ip::address> addresses,
                                         std::uint16_t port, cut_off& ending);

}  // namespace recordkv::http
