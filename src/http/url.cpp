#include "recordkv/http/url.hpp"

#include "recordkv/core/parse_number.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <optional>

namespace recordkv::http {
namespace {

namespace ip = boost::asio::ip;

constexpr std::size_t max_url = 2048, max_name = 253, max_label = 63;

bool digit(char c) { return c >= '0' && c <= '9'; }
bool alnum(char c) { return digit(c) || (c >= 'a' && c <= 'z'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Quotes, brackets and the like never stand in a URL unescaped, and parsers disagree about a backslash.
bool in_target(char c) {
  return c > ' ' && c < 0x7f && std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos;
}

bool is_label(std::string_view s) {
  return !s.empty() && s.size() <= max_label && s.front() != '-' && s.back() != '-' &&
         std::ranges::all_of(s, [](char c) { return alnum(c) || c == '-'; });
}

bool is_ipv4(const std::string& host) {
  boost::system::error_code ec;
  const auto address = ip::make_address_v4(host, ec);
  return !ec && address.to_string() == host;
}

bool is_host(const std::string& host) {
  if (host.empty() || host.size() > max_name) return false;
  const auto last = host.substr(host.rfind('.') + 1);
  if (!last.empty() && digit(last.front())) return is_ipv4(host);
  std::string_view rest = host;
  while (true) {
    const auto dot = rest.find('.');
    if (!is_label(rest.substr(0, dot))) return false;
    if (dot == rest.npos) return true;
    rest.remove_prefix(dot + 1);
  }
}

std::optional<std::string> ipv6_of(std::string_view text) {
  boost::system::error_code ec;
  if (text.find('%') != text.npos) return {};  // an interface of this machine
  const auto address = ip::make_address_v6(text, ec);
  if (ec) return {};
  return address.to_string();
}

/// Removes the host from the front of `authority`; its port is left.
std::optional<std::string> take_host(std::string_view& authority) {
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == authority.npos) return {};
    const auto inside = authority.substr(1, end - 1);
    authority.remove_prefix(end + 1);
    return ipv6_of(inside);
  }
  std::string host(authority.substr(0, authority.find(':')));
  authority.remove_prefix(host.size());
  std::ranges::transform(host, host.begin(), lower);
  if (!is_host(host)) return {};
  return host;
}

std::optional<std::uint16_t> port_of(std::string_view text, bool tls) {
  if (text.empty()) return tls ? 443 : 80;
  if (text.size() > 6 || !text.starts_with(':')) return {};
  const auto port = parse_number<std::uint16_t>(text.substr(1));
  return port && *port > 0 ? port : std::nullopt;
}

}  // namespace

std::string url::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  std::string out = v6 ? '[' + host + ']' : host;
  if (port != (tls ? 443 : 80)) out += ':' + std::to_string(port);
  return out;
}

std::string url::origin() const { return (tls ? "https://" : "http://") + authority(); }

result<url> parse_url(std::string_view text) {
  const auto refuse = [](std::string_view why) {
    return fail(errc::malformed, "not a URL that may be asked: {}", why);
  };
  if (text.size() > max_url) return refuse("too long");
  url out;
  out.tls = text.starts_with("https://");
  if (!out.tls && !text.starts_with("http://")) return refuse("neither https:// nor http://");
  text.remove_prefix(text.find("//") + 2);
  std::string_view authority = text.substr(0, text.find_first_of("/?#"));
  text.remove_prefix(authority.size());
  auto host = take_host(authority);
  if (!host) return refuse("its host is no name and no address");
  const auto port = port_of(authority, out.tls);
  if (!port) return refuse("its port is no port");
  if (!std::ranges::all_of(text, in_target)) return refuse("a character that must be escaped");
  out.host = std::move(*host);
  out.port = *port;
  out.target = text.starts_with('/') ? std::string(text) : '/' + std::string(text);
  return out;
}

result<url> redirected(const url& from, std::string_view location) {
  location = location.substr(0, location.find('#'));
  const bool same_host = location.starts_with('/') && !location.starts_with("//");
  auto to = same_host ? parse_url(from.origin() + std::string(location)) : parse_url(location);
  if (to && from.tls && !to->tls) return fail(errc::malformed, "a redirect from https to http");
  return to;
}

}  // namespace recordkv::http
