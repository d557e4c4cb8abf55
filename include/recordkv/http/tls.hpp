// Which certificates a TLS connection trusts.
//
// Owns: the authorities, the check that the certificate names the host, the text for a failed check.
// Does not know: what is sent once the connection is trusted.
#pragma once

#include "recordkv/core/result.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <optional>
#include <string>

namespace recordkv::http {

using tls_stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>;

/// The system's authorities, and those of a PEM file where it is named. errc::bad_config: a file cannot be read.
result<boost::asio::ssl::context> tls_authorities(const std::string& further_pem_file);

/// From now on the handshake fails unless the certificate is valid for `host`, a name (sent as SNI) or an IP address.
result<> tls_expect_host(tls_stream& stream, const std::string& host);

/// Why the certificate was not trusted; nothing when it was trusted and something else failed.
std::optional<std::string> tls_distrust(tls_stream& stream);

}  // namespace recordkv::http
