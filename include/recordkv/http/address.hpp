// Which IP addresses are of the public internet.
//
// Owns: the special ranges of IPv4 and IPv6. Does not know: names and connections. Pure.
// Source: IANA special-purpose address registries (RFC 6890 and its updates).
#pragma once

#include <boost/asio/ip/address.hpp>

namespace recordkv::http {

namespace asio = boost::asio;

/// False: private, loopback, link-local, multicast, unspecified, shared, benchmark, documentation, reserved.
/// An IPv4 address that is written as IPv6 (mapped, NAT64) counts as what it is. Other forms of IPv4 within IPv6
/// (compatible, 6to4, Teredo) are never public.
bool is_public(const asio::ip::address& address) noexcept;

}  // namespace recordkv::http
