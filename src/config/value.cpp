#include "value.hpp"

#include "checks.hpp"
#include "recordkv/core/parse_number.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <type_traits>

namespace recordkv::settings {
namespace {

struct unit {
  std::string_view name;
  std::int64_t factor;
};
constexpr auto durations = std::to_array<unit>({{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}});
constexpr auto sizes = std::to_array<unit>({{"B", 1},
                                            {"KB", 1'000},
                                            {"MB", 1'000'000},
                                            {"GB", 1'000'000'000},
                                            {"TB", 1'000'000'000'000},
                                            {"KiB", std::int64_t{1} << 10},
                                            {"MiB", std::int64_t{1} << 20},
                                            {"GiB", std::int64_t{1} << 30},
                                            {"TiB", std::int64_t{1} << 40}});

// "250ms", "10s", "2m", "1h" in milliseconds; "512B", "256MB" (10^6), "1GiB" (2^30) in bytes.
std::optional<std::int64_t> parse_with(std::span<const unit> units, std::string_view text) noexcept {
  const auto n = take_number<std::int64_t>(text);
  if (!n || *n < 0) return std::nullopt;
  const auto u = std::ranges::find(units, text, &unit::name);
  std::int64_t whole = 0;
  if (u == units.end() || __builtin_mul_overflow(*n, u->factor, &whole)) return std::nullopt;
  return whole;
}

/// The largest unit that divides `n`, so that 120000 ms are "2m" again.
std::string with_unit(std::span<const unit> units, std::int64_t n) {
  const unit* best = &units.front();
  for (const auto& u : units)
    if (n != 0 && n % u.factor == 0 && u.factor > best->factor) best = &u;
  return fmt::format("{}{}", n / best->factor, best->name);
}

std::string in_quotes(std::string_view s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\')
      (out += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

std::string described(const key_row& key, const toml::node& value) {
  if (key.secret) return "the given value";
  if (const auto* s = value.as_string()) return in_quotes(masked_urls(s->get()));
  if (value.is_table()) return "a table";
  if (value.is_array()) return "a list";
  std::ostringstream out;
  value.visit([&](const auto& v) { out << v; });
  return out.str();
}

std::string choices_text(std::string_view choices) {
  std::string out = "one of ";
  for (const char c : in_quotes(choices)) out += c == '|' ? std::string("\", \"") : std::string(1, c);
  return out;
}

template <class T>
inline constexpr bool is_text = std::is_same_v<T, std::string>;
template <class T>
inline constexpr bool is_list = std::is_same_v<T, std::vector<std::string>>;
template <class T>
inline constexpr bool is_flag = std::is_same_v<T, bool>;
template <class T>
inline constexpr bool is_duration = std::is_same_v<T, milliseconds>;

template <class T>
std::string wanted(const key_row& key) {
  constexpr auto open_end = std::numeric_limits<std::int64_t>::max();
  if constexpr (is_text<T>) {
    return key.choices.empty() ? "text in quotes" : choices_text(key.choices);
  } else if constexpr (is_list<T>) {
    return R"(a list of texts such as ["a", "b"])";
  } else if constexpr (is_flag<T>) {
    return "true or false";
  } else if constexpr (is_duration<T>) {
    return fmt::format(R"(a duration such as "10s" or "2m", from {} to {})", with_unit(durations, key.min),
                       with_unit(durations, key.max));
  } else if (key.bytes) {
    return fmt::format(R"(a size such as "256MB" or "1GiB", at least {})", with_unit(sizes, key.min));
  } else {
    return key.max == open_end ? fmt::format("an integer of at least {}", key.min)
                               : fmt::format("an integer from {} to {}", key.min, key.max);
  }
}

std::string bare_text(const toml::node& value) {
  std::ostringstream out;
  value.visit([&](const auto& v) { out << v; });
  return out.str();
}

/// The value as T, or nothing when its type or range is wrong.
template <class T>
std::optional<T> taken(const key_row& key, const toml::node& value) {
  if constexpr (is_text<T>) {
    auto text = value.value_exact<std::string>();
    if (!text && key.bare && (value.is_integer() || value.is_date_time())) text = bare_text(value);
    if (!text || key.choices.empty()) return text;
    const auto hay = fmt::format("|{}|", key.choices);
    return !text->contains('|') && hay.contains(fmt::format("|{}|", *text)) ? text : std::nullopt;
  } else if constexpr (is_list<T>) {
    const auto* const list = value.as_array();
    if (list == nullptr) return std::nullopt;
    T out;
    for (const auto& item : *list) {
      if (!item.is_string()) return std::nullopt;
      out.push_back(item.as_string()->get());
    }
    return out;
  } else if constexpr (is_flag<T>) {
    return value.value_exact<bool>();
  } else {
    std::optional<std::int64_t> n;
    if (const auto text = value.value_exact<std::string_view>(); text && is_duration<T>)
      n = parse_with(durations, *text);
    if (const auto text = value.value_exact<std::string_view>(); text && key.bytes) n = parse_with(sizes, *text);
    if (!is_duration<T> && value.is_integer()) n = value.value_exact<std::int64_t>();
    if (!n || *n < key.min || *n > key.max) return std::nullopt;
    if constexpr (is_duration<T>)
      return T(*n);
    else
      return std::in_range<T>(*n) ? std::optional(static_cast<T>(*n)) : std::nullopt;
  }
}

std::optional<toml::table> parsed(const std::string& text) {
  try {
    auto t = toml::parse("value = " + text);
    if (t.size() == 1) return t;  // more: the text held further lines
    return std::nullopt;
  } catch (const toml::parse_error&) {
    return std::nullopt;
  }
}

toml::array split_list(std::string_view text) {
  toml::array out;
  while (!text.empty()) {
    const auto comma = text.find(',');
    auto item = text.substr(0, comma);
    text = comma == text.npos ? std::string_view{} : text.substr(comma + 1);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (!item.empty()) out.push_back(std::string(item));
  }
  return out;
}

template <class F>
auto visit_place(const key_row& key, const config& c, F f) {
  // The table's accessors take a mutable config; reading through them changes nothing.
  return std::visit([&](auto at) { return f(std::as_const(at(const_cast<config&>(c)))); }, key.at);
}

}  // namespace

std::string assign(const key_row& key, config& into, const toml::node& value) {
  return std::visit(
      [&](auto at) -> std::string {
        using type = std::remove_reference_t<decltype(at(into))>;
        auto v = taken<type>(key, value);
        if (!v)
          return fmt::format("wants {}, not {}; the default is {} = {}", wanted<type>(key), described(key, value),
                             key.name, shown(key, config{}));
        at(into) = std::move(*v);
        return {};
      },
      key.at);
}

toml::table bare_value(const key_row& key, const std::string& text) {
  auto as_toml = parsed(text);
  const toml::node* const node = as_toml ? as_toml->get("value") : nullptr;
  const bool wants_text = std::holds_alternative<std::string& (*)(config&)>(key.at);
  const bool wants_list = std::holds_alternative<std::vector<std::string>& (*)(config&)>(key.at);
  if (wants_list) {
    if (node != nullptr && node->is_array()) return std::move(*as_toml);
    if (node != nullptr && node->is_string()) return toml::table{{"value", toml::array{node->as_string()->get()}}};
    return toml::table{{"value", split_list(text)}};
  }
  // Digits alone, or the word true, are text where text is wanted.
  if (node != nullptr && (node->is_string() || !wants_text)) return std::move(*as_toml);
  return toml::table{{"value", text}};
}

std::string written(const key_row& key, const config& from) {
  return visit_place(key, from, [&](const auto& v) -> std::string {
    using type = std::remove_cvref_t<decltype(v)>;
    if constexpr (is_text<type>) {
      return in_quotes(v);
    } else if constexpr (is_list<type>) {
      std::string out;
      for (const auto& item : v) out += (out.empty() ? "" : ", ") + in_quotes(item);
      return fmt::format("[{}]", out);
    } else if constexpr (is_duration<type>) {
      return in_quotes(with_unit(durations, v.count()));
    } else if constexpr (is_flag<type>) {
      return v ? "true" : "false";
    } else {
      return key.bytes ? in_quotes(with_unit(sizes, static_cast<std::int64_t>(v))) : fmt::to_string(v);
    }
  });
}

std::string shown(const key_row& key, const config& from) {
  std::string whole = written(key, from);
  const auto* const text = std::get_if<std::string& (*)(config&)>(&key.at);
  if (text == nullptr) return whole;
  const std::string& value = (*text)(const_cast<config&>(from));
  if (key.secret) return value.empty() ? whole : in_quotes("***");
  return value.contains("://") ? in_quotes(masked_urls(value)) : whole;
}

}  // namespace recordkv::settings
