// Takes WebSocket addresses apart and writes query values.
//
// Owns: which URLs we accept. Does not know: which paths and parameters exist.
#include "recordkv/core/parse_number.hpp"
#include "recordkv/firehose/websocket.hpp"

#include <algorithm>

namespace recordkv::firehose {
namespace {

bool is_port(std::string_view s) {
  const auto n = parse_number<unsigned>(s);
  return s.size() <= 5 && n && *n > 0 && *n < 65536;
}

bool is_host(std::string_view s, bool bracketed) {
  if (s.empty() || s.size() > 253) return false;
  return std::ranges::all_of(s, [bracketed](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || (bracketed && (c == ':' || c == '%'));
  });
}

}  // namespace

std::string ws_url::origin() const {
  const bool v6 = host.find(':') != std::string::npos;
  std::string out = fmt::format("{}://{}", tls ? "wss" : "ws", v6 ? '[' + host + ']' : host);
  if (port != (tls ? "443" : "80")) out += ':' + port;
  return out;
}

std::string ws_url::target() const {
  std::string out = path.empty() ? "/" : path;
  if (!query.empty()) out += '?' + query;
  return out;
}

result<ws_url> parse_ws_url(std::string_view url) {
  const std::string shown(url.substr(0, 200));
  // A character below '!' could end the request line and begin a forged header.
  if (std::ranges::any_of(url, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; }))
    return fail(errc::bad_config, "source url: spaces or control characters are not allowed");
  ws_url out;
  std::string_view rest = url;
  if (rest.starts_with("wss://")) {
    out.tls = true;
    rest.remove_prefix(6);
  } else if (rest.starts_with("ws://")) {
    rest.remove_prefix(5);
  } else {
    return fail(errc::bad_config, "source url \"{}\" must begin with wss:// or ws://", shown);
  }
  rest = rest.substr(0, rest.find('#'));
  std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(authority.size());
  if (authority.find('@') != std::string_view::npos)
    return fail(errc::bad_config, "source url: a user name or password in it is not supported");
  const bool bracketed = authority.starts_with('[');
  if (bracketed) authority.remove_prefix(1);
  const auto end = std::min(authority.size(), authority.find(bracketed ? ']' : ':'));
  out.host = authority.substr(0, end);
  authority.remove_prefix(end);
  if (bracketed && authority.empty()) out.host.clear();  // no closing bracket
  if (bracketed && !authority.empty()) authority.remove_prefix(1);
  if (authority.starts_with(':')) out.port = authority.substr(1);
  if (authority.empty()) out.port = out.tls ? "443" : "80";
  if (!is_host(out.host, bracketed) || !is_port(out.port))
    return fail(errc::bad_config, "source url \"{}\" has no valid host and port", shown);
  const auto question = rest.find('?');
  out.path = rest.substr(0, question);
  if (out.path == "/") out.path.clear();
  if (question != std::string_view::npos) out.query = rest.substr(question + 1);
  return out;
}

}  // namespace recordkv::firehose
