// Any text as a URL, as where a redirect leads, and as Retry-After.
#include "recordkv/http/url.hpp"

#include "property.hpp"
#include "recordkv/http/retry_after.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>

using namespace recordkv;

namespace {

void demand_sound(const http::url& url) {
  const auto again = http::parse_url(url.text());
  DEMAND(again.has_value() && *again == url);
  DEMAND(!url.host.empty() && url.port != 0 && url.target.starts_with('/'));
  const auto plain = [](char c) { return c > ' ' && c < 0x7f && c != '@' && c != '\\' && c != '#'; };
  DEMAND(std::ranges::all_of(url.authority(), plain));
  DEMAND(std::ranges::all_of(url.target, [](char c) { return c > ' ' && c < 0x7f; }));
  // What looks like an address to the system is one to us.
  const char last = url.host[url.host.rfind('.') + 1];
  boost::system::error_code no_address;
  boost::asio::ip::make_address(url.host, no_address);
  DEMAND(!no_address || last < '0' || last > '9');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text(data, size);
  if (const auto url = http::parse_url(text)) demand_sound(*url);
  const auto from = *http::parse_url("https://a.example.com:8443/x");
  if (const auto to = http::redirected(from, text)) {
    demand_sound(*to);
    DEMAND(to->tls);
  }
  const auto pause = http::retry_after(text, std::chrono::seconds(60));
  DEMAND(!pause || (pause->count() >= 0 && pause->count() <= 60));
  return 0;
}
