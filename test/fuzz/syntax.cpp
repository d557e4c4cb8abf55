// Any text as each identifier, against the expressions that the specifications print; and its lines as the parts of an
// AT-URI.
#include "recordkv/atproto/syntax.hpp"

#include "property.hpp"

#include <array>
#include <regex>
#include <string>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

/// Longer text is left to the other demands: std::regex descends once for each character.
constexpr std::size_t max_matched = 300;

bool matches(const std::regex& form, std::string_view s) { return std::regex_match(s.begin(), s.end(), form); }

void demand_specified(std::string_view s) {
  static const std::regex did("did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]");
  static const std::regex nsid(
      "[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
      "(\\.[a-zA-Z]([a-zA-Z0-9]{0,62})?)");
  static const std::regex rkey("[a-zA-Z0-9_~.:-]+");
  static const std::regex tid("[234567abcdefghij][234567abcdefghijklmnopqrstuvwxyz]{12}");
  static const std::regex handle(
      "([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\\.)+[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?");
  DEMAND(is_did(s) == matches(did, s));
  DEMAND(is_nsid(s) == matches(nsid, s));
  DEMAND(is_rkey(s) == (matches(rkey, s) && s != "." && s != ".."));
  DEMAND(is_tid(s) == matches(tid, s));
  DEMAND(is_handle(s) == (s.size() <= 253 && matches(handle, s)));
}

void demand_bounded(std::string_view s) {
  DEMAND(!is_did(s) || s.size() <= 2048);
  DEMAND(!is_nsid(s) || (s.size() <= 317 && std::ranges::count(s, '.') >= 2));
  DEMAND(!is_rkey(s) || s.size() <= 512);
  DEMAND(!is_tid(s) || s.size() == 13);
  DEMAND(!is_handle(s) || s.size() <= 253);
}

void demand_sound(const at_uri& uri, std::string_view text) {
  DEMAND(text.size() <= 8192);
  DEMAND(is_did(uri.authority) || is_handle(uri.authority));
  DEMAND(uri.collection.empty() ? uri.rkey.empty() : is_nsid(uri.collection));
  DEMAND(uri.rkey.empty() || is_rkey(uri.rkey));
  auto again = "at://" + std::string(uri.authority);
  for (const auto part : {uri.collection, uri.rkey})
    if (!part.empty()) again.append("/").append(part);
  DEMAND(again == text);
}

/// A URI is one exactly if each of its parts is one.
void demand_composed(const std::array<std::string_view, 3>& parts) {
  const auto& [authority, collection, rkey] = parts;
  auto text = "at://" + std::string(authority);
  bool good = is_did(authority) || is_handle(authority);
  DEMAND(parse_at_uri(text).has_value() == good);
  text.append("/").append(collection);
  good = good && is_nsid(collection);
  DEMAND(parse_at_uri(text).has_value() == good);
  text.append("/").append(rkey);
  DEMAND(parse_at_uri(text).has_value() == (good && is_rkey(rkey)));
}

/// TIDs sort like the times in them.
void demand_ordered(std::string_view a, std::string_view b) {
  if (!is_tid(a) || !is_tid(b)) return;
  DEMAND(tid_micros(a) >= 0);
  DEMAND(a > b || tid_micros(a) <= tid_micros(b));
  DEMAND(a < b || tid_micros(a) >= tid_micros(b));
}

std::array<std::string_view, 3> lines_of(std::string_view s) {
  std::array<std::string_view, 3> lines;
  for (auto& line : lines) {
    line = s.substr(0, s.find('\n'));
    s.remove_prefix(std::min(s.size(), line.size() + 1));
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text(data, size);
  demand_bounded(text);
  if (size <= max_matched) demand_specified(text);
  if (const auto uri = parse_at_uri(text)) demand_sound(*uri, text);
  const auto parts = lines_of(text);
  for (const auto part : parts)
    if (part.size() <= max_matched) demand_specified(part);
  if (std::ranges::none_of(parts, [](std::string_view part) { return part.contains('/'); })) demand_composed(parts);
  demand_ordered(parts[0], parts[1]);
  return 0;
}
