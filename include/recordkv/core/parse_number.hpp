// Numbers written as text.
//
// Owns: the two ways to read one: the whole text is a number, or a number leads the text.
// Does not know: units, signs in front of unsigned types, spaces. All of these are refused.
#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>

namespace recordkv {

/// Reads the number at the front of `text` and removes it. nullopt: there is none, or the type cannot hold it; `text`
/// stays as it was.
template <class Number>
std::optional<Number> take_number(std::string_view& text) noexcept {
  Number n{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return n;
}

/// The number that is all of `text`. nullopt: anything else.
template <class Number>
std::optional<Number> parse_number(std::string_view text) noexcept {
  const auto n = take_number<Number>(text);
  return text.empty() ? n : std::nullopt;
}

}  // namespace recordkv
