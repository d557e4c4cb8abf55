#include "address.hpp"

#include "recordkv/nats/greeting.hpp"

#include <algorithm>

namespace recordkv::nats {
namespace {

constexpr std::string_view separator = "://";

std::size_t host_of(std::string_view url) {
  const auto scheme = url.find(separator);
  const auto authority = scheme == url.npos ? 0 : scheme + separator.size();
  const auto at = url.rfind('@');  // the last one: a password may contain '@'
  return at == url.npos ? authority : std::max(authority, at + 1);
}

// The comma that ends the first address. User information may contain commas; it ends at the last '@' before the next
// scheme.
std::size_t end_of_first(std::string_view urls) {
  const auto scheme = urls.find(separator);
  const auto next = scheme == urls.npos ? urls.npos : urls.find(separator, scheme + separator.size());
  const auto mine = urls.substr(0, next == urls.npos ? next : urls.rfind(',', next));
  const bool alone = scheme != urls.npos && scheme < mine.find(',');
  return std::min(urls.find(',', alone ? host_of(mine) : 0), urls.size());
}

}  // namespace

std::vector<std::string> split_urls(std::string_view urls) {
  std::vector<std::string> out;
  while (!urls.empty()) {
    const auto comma = end_of_first(urls);
    auto one = urls.substr(0, comma);
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    if (!one.empty()) out.emplace_back(one);
    urls.remove_prefix(std::min(comma + 1, urls.size()));
  }
  return out;
}

endpoint endpoint_of(std::string_view url) {
  url.remove_prefix(host_of(url));
  url = url.substr(0, url.find('/'));
  const auto colon = url.rfind(':');
  const auto bracket = url.rfind(']');
  endpoint e{std::string(url), "4222"};
  if (colon != url.npos && (bracket == url.npos || colon > bracket))
    e = {std::string(url.substr(0, colon)), std::string(url.substr(colon + 1))};
  if (e.host.size() > 2 && e.host.front() == '[') e.host = e.host.substr(1, e.host.size() - 2);
  return e;
}

bool asks_for_tls(std::string_view urls) {
  return std::ranges::any_of(split_urls(urls), [](const auto& url) { return url.starts_with("tls://"); });
}

std::string without_secrets(std::string_view urls) {
  std::string out;
  for (const auto& url : split_urls(urls)) {
    const auto scheme = url.find(separator);
    if (!out.empty()) out += ',';
    if (scheme != url.npos) out.append(url, 0, scheme + separator.size());
    out.append(url, host_of(url));
  }
  return out;
}

}  // namespace recordkv::nats
