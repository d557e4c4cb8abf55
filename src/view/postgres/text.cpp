#include "postgres/text.hpp"

#include <fmt/format.h>

#include <iterator>

namespace recordkv::view::postgres {

namespace {

/// The shortest text that reads back equal. SQLite keeps no negative zero, and both databases must answer the same.
std::string text_of(double d) { return fmt::format("{}", d == 0 ? 0.0 : d); }

}  // namespace

std::optional<std::string> plain(const cell& c) {
  if (const auto* const n = std::get_if<std::int64_t>(&c)) return fmt::to_string(*n);
  if (const auto* const d = std::get_if<double>(&c)) return text_of(*d);
  if (const auto* const s = std::get_if<std::string>(&c)) return *s;
  return std::nullopt;
}

void array_text::next() {
  if (size_++ > 0) text_ += ',';
}

void array_text::add_null() {
  next();
  text_ += "NULL";
}

void array_text::add(std::string_view text) {
  next();
  text_ += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += c;
  }
  text_ += '"';
}

void array_text::add(const cell& c) {
  if (const auto* const s = std::get_if<std::string>(&c)) return add(std::string_view(*s));
  const auto text = plain(c);
  text ? add(std::string_view(*text)) : add_null();
}

void copy_field(std::string& line, std::string_view text) {
  for (const char c : text) switch (c) {
      case '\\': line += "\\\\"; break;
      case '\t': line += "\\t"; break;
      case '\n': line += "\\n"; break;
      case '\r': line += "\\r"; break;
      default: line += c;
    }
}

void copy_field(std::string& line, const cell& c) {
  if (const auto* const s = std::get_if<std::string>(&c)) return copy_field(line, std::string_view(*s));
  if (const auto* const n = std::get_if<std::int64_t>(&c))
    fmt::format_to(std::back_inserter(line), "{}", *n);
  else if (const auto* const d = std::get_if<double>(&c))
    line += text_of(*d);
  else
    line += "\\N";
}

}  // namespace recordkv::view::postgres
