// The http and https URLs that recordkv asks.
//
// Owns: a strict reading of hostile text. Does not know: which hosts may be asked. Pure.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::http {

/// The parts of an absolute http or https URL.
struct url {
  bool tls = true;
  std::string host;  ///< lower case; an IPv6 address without brackets
  std::uint16_t port = 443;
  std::string target = "/";  ///< path and query

  std::string authority() const;  ///< "host" or "host:port", as in the header Host
  std::string origin() const;     ///< "https://host[:port]"
  std::string text() const { return origin() + target; }
  bool operator==(const url&) const = default;
};

/// errc::malformed: another scheme, a user or password, a fragment, a host that is neither an address nor a name of
/// letters, digits and hyphens (names beyond ASCII come as xn--), a bad port, more than 2048 bytes, or a character in
/// the target that a request line must not hold. A host whose last label begins with a digit must be an IPv4 address
/// of four decimal numbers: other spellings ("127.1", "0x7f.0.0.1") would be read as addresses only later.
result<url> parse_url(std::string_view text);

/// Where a redirect leads: `location` is a whole URL, or begins with "/". errc::malformed: it is neither, or leaves
/// TLS.
result<url> redirected(const url& from, std::string_view location);

}  // namespace recordkv::http
