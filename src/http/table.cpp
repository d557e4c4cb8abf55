#include "table.hpp"

#include <fmt/format.h>
#include <boost/beast/http/status.hpp>

#include <ctime>

namespace recordkv::http {
namespace {

std::string now_in_words() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char out[40];
  return {out, std::strftime(out, sizeof out, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

choice choose(const std::vector<route>& routes, std::string_view method, std::string_view path) {
  choice out;
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const route& r : routes) {
    if (r.path != path) continue;
    if (r.method == wanted) return {.chosen = &r};
    if (!out.allow.empty()) out.allow += ", ";
    out.allow += r.method == "GET" ? "GET, HEAD" : r.method;
  }
  if (!out.allow.empty()) {
    out.refused = {.status = 405, .body = fmt::format("This path takes {}.\n", out.allow)};
    return out;
  }
  out.refused = {.status = 404, .body = "No such path. Available paths:\n"};
  for (const route& r : routes) out.refused.body += fmt::format("{} {}\n", r.method, r.path);
  return out;
}

std::string head_of(const response& r, std::string_view allow, bool keep) {
  const auto reason = boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(r.status));
  std::string out = fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nConnection: {}\r\n",
      r.status, std::string_view(reason.data(), reason.size()), now_in_words(), r.content_type, r.body.size(),
      keep ? "keep-alive" : "close");
  if (!allow.empty()) out += fmt::format("Allow: {}\r\n", allow);
  return out + "\r\n";
}

}  // namespace recordkv::http
