#include "plan/column_types.hpp"

#include "plan/timestamp.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace recordkv::view {
namespace {

namespace json = boost::json;
using storage = column_type_traits::storage;

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number out{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc{} && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

template <class Value>
std::optional<cell> as_cell(std::optional<Value> v) {
  return v ? std::optional<cell>(std::move(*v)) : std::nullopt;
}

cell of_flag(bool flag) { return std::int64_t{flag ? 1 : 0}; }

// --- from text ---

std::optional<cell> text_from_text(std::string_view s) {
  if (s.contains('\0')) return std::nullopt;
  return std::string(s);
}
std::optional<cell> integer_from_text(std::string_view s) { return as_cell(number<std::int64_t>(s)); }
std::optional<cell> real_from_text(std::string_view s) { return as_cell(number<double>(s)); }
std::optional<cell> boolean_from_text(std::string_view s) {
  if (s != "true" && s != "false") return std::nullopt;
  return of_flag(s == "true");
}
std::optional<cell> timestamp_from_text(std::string_view s) { return as_cell(utc_microseconds(s)); }

// --- from JSON ---

/// Whether JSON text holds an escaped U+0000: \u0000 behind an even number of backslashes.
bool holds_zero(std::string_view text) {
  for (auto at = text.find("\\u0000"); at != text.npos; at = text.find("\\u0000", at + 1)) {
    std::size_t before = 0;
    while (before < at && text[at - 1 - before] == '\\') ++before;
    if (before % 2 == 0) return true;
  }
  return false;
}

cell integer_from_json(const json::value& v, std::string_view&) { return v.is_int64() ? cell(v.get_int64()) : cell(); }

cell real_from_json(const json::value& v, std::string_view&) {
  if (v.is_double() && std::isfinite(v.get_double())) return v.get_double();
  if (v.is_int64()) return static_cast<double>(v.get_int64());
  if (v.is_uint64()) return static_cast<double>(v.get_uint64());
  return {};
}

cell boolean_from_json(const json::value& v, std::string_view&) { return v.is_bool() ? of_flag(v.get_bool()) : cell(); }

cell json_from_json(const json::value& v, std::string_view& flaw) {
  if (auto text = json::serialize(v); !holds_zero(text)) return text;
  flaw = zero_flaw;
  return {};
}

// --- from TOML ---

std::optional<cell> integer_from_toml(const toml::node& v) { return as_cell(v.value_exact<std::int64_t>()); }

std::optional<cell> real_from_toml(const toml::node& v) {
  const auto real = v.value<double>();
  if (!v.is_number() || !real || !std::isfinite(*real)) return std::nullopt;
  return *real;
}

std::optional<cell> boolean_from_toml(const toml::node& v) {
  const auto flag = v.value_exact<bool>();
  if (!flag) return std::nullopt;
  return of_flag(*flag);
}

/// JSON text as boost::json would write it, so that two texts of one value are equal.
std::optional<cell> json_from_toml(const toml::node& v) {
  const auto text = v.value_exact<std::string>();
  if (!text || text->contains('\0')) return std::nullopt;
  json::error_code ec;
  const auto parsed = json::parse(*text, ec);
  if (ec) return std::nullopt;
  return json::serialize(parsed);
}

constexpr std::string_view any_text = "a text without U+0000";

/// In the order of column_type.
constexpr std::array<column_type_traits, 6> rows{{
    {column_type::text, "text", any_text, storage::text, true, true, text_from_text, nullptr, nullptr},
    {column_type::integer, "integer", "an integer", storage::integer, true, false, integer_from_text, integer_from_json,
     integer_from_toml},
    {column_type::real, "real", "a number", storage::real, true, false, real_from_text, real_from_json, real_from_toml},
    {column_type::boolean, "boolean", "true or false", storage::boolean, true, false, boolean_from_text,
     boolean_from_json, boolean_from_toml},
    {column_type::timestamp, "timestamp", "a time such as 2024-11-05T12:00:00Z", storage::text, true, false,
     timestamp_from_text, nullptr, nullptr},
    {column_type::json, "json", any_text, storage::text, false, false, text_from_text, json_from_json, json_from_toml},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (static_cast<std::size_t>(rows[i].type) != i) return false;
  return true;
}
static_assert(in_order());

}  // namespace

const column_type_traits& traits_of(column_type t) noexcept { return rows[static_cast<std::size_t>(t)]; }

std::span<const column_type_traits> all_column_types() noexcept { return rows; }

std::string column_type_names() {
  std::string out;
  for (const auto& r : rows) out += fmt::format("{}{}", out.empty() ? "" : ", ", r.name);
  return out;
}

}  // namespace recordkv::view
