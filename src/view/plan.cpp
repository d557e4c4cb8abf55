#include "recordkv/view/plan.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <array>
#include <cmath>

namespace recordkv::view {
namespace {

namespace json = boost::json;

/// Raise it when extract() comes to mean something else: every view is then rebuilt, as its rows would differ.
constexpr std::string_view extraction_version = "1";

/// FNV-1a. It only has to tell one person's definitions apart, not to withstand an attacker.
class fingerprint {
 public:
  void add(std::string_view s) {
    for (const char c : fmt::format("{}:", s.size())) mix(c);  // length first: "ab","c" is not "a","bc"
    for (const char c : s) mix(c);
  }
  std::string text() const { return fmt::format("{:016x}", state_); }

 private:
  void mix(char c) { state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3; }
  std::uint64_t state_ = 0xcbf29ce484222325;
};

/// Digits [at, at+n) as a number; -1 when one is no digit.
int number(std::string_view s, std::size_t at, std::size_t n) {
  int out = 0;
  for (const char c : s.substr(at, n)) {
    if (c < '0' || c > '9') return -1;
    out = out * 10 + (c - '0');
  }
  return out;
}

bool is_zone(std::string_view z) {
  if (z == "Z") return true;
  if (z.size() != 6 || (z[0] != '+' && z[0] != '-') || z[3] != ':') return false;
  const int h = number(z, 1, 2);
  const int m = number(z, 4, 2);
  return h >= 0 && h <= 23 && m >= 0 && m <= 59;
}

/// RFC 3339 with the upper-case T and Z that atproto's `datetime` asks for.
bool is_timestamp(std::string_view s) {
  if (s.size() < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':') return false;
  const int year = number(s, 0, 4);
  const int month = number(s, 5, 2);
  const int day = number(s, 8, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1) return false;
  constexpr std::array days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (day > days[static_cast<std::size_t>(month - 1)] + (month == 2 && leap ? 1 : 0)) return false;
  const int hour = number(s, 11, 2);
  const int minute = number(s, 14, 2);
  const int second = number(s, 17, 2);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return false;
  std::string_view rest = s.substr(19);
  if (rest.starts_with('.')) {
    const auto end = rest.find_first_not_of("0123456789", 1);
    if (end == rest.npos || end == 1) return false;
    rest.remove_prefix(end);
  }
  return is_zone(rest);
}

std::string copy(const json::string& s) { return {s.data(), s.size()}; }

/// The cell of one column; monostate when the value is absent, null or of another type.
cell cell_of(const column& c, const json::value& record) {
  json::error_code ec;
  const json::value* const v = record.find_pointer(c.pointer, ec);
  if (v == nullptr || v->is_null()) return {};
  switch (c.type) {
    case column_type::text:
      if (v->is_string()) return copy(v->get_string());
      break;
    case column_type::integer:
      if (v->is_int64()) return v->get_int64();
      break;
    case column_type::real:
      if (v->is_double() && std::isfinite(v->get_double())) return v->get_double();
      if (v->is_int64()) return static_cast<double>(v->get_int64());
      if (v->is_uint64()) return static_cast<double>(v->get_uint64());
      break;
    case column_type::boolean:
      if (v->is_bool()) return std::int64_t{v->get_bool() ? 1 : 0};
      break;
    case column_type::timestamp:
      if (v->is_string() && is_timestamp(v->get_string())) return copy(v->get_string());
      break;
    case column_type::json: return json::serialize(*v);
  }
  return {};
}

}  // namespace

std::string plan::hash() const {
  fingerprint f;
  f.add(extraction_version);
  f.add(collection);
  for (const auto& c : columns) {
    f.add(c.name);
    f.add(c.pointer);
    f.add(fmt::format("{} {} {}", static_cast<int>(c.type), c.required, c.index));
  }
  return f.text();
}

std::optional<std::vector<cell>> extract(const plan& p, std::string_view record_json) {
  // A like is 250 bytes and a post a few thousand: the usual record is parsed without touching the heap.
  unsigned char buffer[16 * 1024];
  json::monotonic_resource memory(buffer, sizeof(buffer));
  json::parse_options options;
  options.max_depth = 128;  // the network's records may nest deeper than the parser's default of 32
  json::error_code ec;
  const json::value record = json::parse(record_json, ec, &memory, options);
  if (ec || !record.is_object()) return std::nullopt;
  std::vector<cell> row;
  row.reserve(p.columns.size());
  for (const auto& c : p.columns) {
    row.push_back(cell_of(c, record));
    if (c.required && std::holds_alternative<std::monostate>(row.back())) return std::nullopt;
  }
  return row;
}

}  // namespace recordkv::view
