#include "did_web.hpp"

#include "recordkv/atproto/syntax.hpp"

#include <algorithm>
#include <array>

namespace recordkv::identity {
namespace {

using namespace std::string_view_literals;

constexpr std::array not_public{"alt"sv,     "arpa"sv,  "example"sv,   "internal"sv,
                                "invalid"sv, "local"sv, "localhost"sv, "onion"sv};
constexpr std::string_view well_known = "/.well-known/did.json";

bool is_public_name(std::string_view host) {
  const bool upper = std::ranges::any_of(host, [](char c) { return c >= 'A' && c <= 'Z'; });
  // A handle has the syntax of a host name with at least two labels, the last one no number.
  if (upper || !atproto::is_handle(host)) return false;
  return std::ranges::find(not_public, host.substr(host.rfind('.') + 1)) == not_public.end();
}

/// "localhost" or "localhost:PORT".
result<http::url> local_url(std::string_view host) {
  constexpr std::string_view name = "localhost", colon = "%3A";
  const auto rest = host.substr(name.size());
  if (!rest.empty() && !rest.starts_with(colon)) return fail(errc::malformed, "host");
  const auto port = rest.empty() ? ""sv : rest.substr(colon.size());
  if (!rest.empty() && port.empty()) return fail(errc::malformed, "host");
  return http::parse_url(fmt::format("http://localhost{}{}{}", port.empty() ? "" : ":", port, well_known));
}

}  // namespace

result<http::url> document_url(std::string_view did_web, bool development) {
  constexpr std::string_view method = "did:web:";
  if (!did_web.starts_with(method)) return fail(errc::malformed, "method");
  const auto host = did_web.substr(method.size());
  if (development && host.starts_with("localhost")) return local_url(host);
  if (!is_public_name(host)) return fail(errc::malformed, "{}: no public host", did_web);
  return http::parse_url(fmt::format("https://{}{}", host, well_known));
}

}  // namespace recordkv::identity
