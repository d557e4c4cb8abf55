#include "recordkv/view/store.hpp"

#include <algorithm>

namespace recordkv::view {

std::string without_password(const std::string& database) {
  std::string out = database;
  // Behind the question mark first: a value there may hold an "@" that would be taken for the end of a password.
  constexpr std::string_view name = "password=";  // and sslpassword
  for (auto at = out.find('?'); at < out.size() && (at = out.find(name, at)) != out.npos;) {
    at += name.size();
    out.replace(at, std::min(out.find('&', at), out.size()) - at, "***");
  }
  const auto scheme = out.find("://");
  if (scheme == out.npos) return out;
  const auto begin = scheme + 3;
  const auto end = out.rfind('@');  // the last: a password may hold another
  if (end == out.npos || end < begin) return out;
  const auto colon = out.find(':', begin);
  if (colon < end) out.replace(colon + 1, end - colon - 1, "***");
  return out;
}

}  // namespace recordkv::view
