#include "target.hpp"

#include <algorithm>

namespace recordkv::http {
namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decoded(std::string_view text, bool in_query) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += in_query && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (text.size() - i < 3) return {};
    const int high = digit(text[i + 1]), low = digit(text[i + 2]);
    if (high < 0 || low < 0) return {};
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

bool add_query(decltype(request::query)& query, std::string_view text) {
  while (!text.empty()) {
    const auto one = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    if (one.empty()) continue;
    const auto equals = one.find('=');
    auto key = decoded(one.substr(0, equals), true);
    auto value = decoded(equals == one.npos ? std::string_view() : one.substr(equals + 1), true);
    if (!key || !value) return false;
    query.emplace(std::move(*key), std::move(*value));
  }
  return true;
}

}  // namespace

std::optional<target> parse_target(std::string_view text) {
  if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; })) return {};
  if (text.starts_with("http://") || text.starts_with("https://")) {
    text.remove_prefix(text.find("//") + 2);
    text.remove_prefix(std::min(text.find_first_of("/?#"), text.size()));
    if (!text.starts_with('/') && !text.empty() && text[0] != '?') return {};
  } else if (!text.starts_with('/')) {
    return {};
  }
  text = text.substr(0, text.find('#'));
  const auto question = text.find('?');
  auto path = decoded(text.substr(0, question), false);
  if (!path) return {};
  target out;
  out.path = path->empty() ? "/" : std::move(*path);
  if (question != text.npos && !add_query(out.query, text.substr(question + 1))) return {};
  return out;
}

}  // namespace recordkv::http
