#include "plan/reader.hpp"

#include <algorithm>

namespace recordkv::view {

void mistakes::add(const toml::source_position& at, std::string what) {
  const auto before = [](const auto& a, const auto& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  };
  if (!first_.empty() && !before(at, at_)) return;
  at_ = at;
  first_ = fmt::format("{}:{}: {}", file_, at.line, what);
}

toml::source_position fields::position(std::string_view key) const {
  const auto* const v = table_.get(key);
  return (v != nullptr ? v->source() : table_.source()).begin;
}

void fields::wrong_at(const toml::source_position& at, std::string_view key, std::string_view what) {
  mistakes_.add(at, fmt::format("{}{}: {}", where_, key, what));
}

void fields::only(std::initializer_list<std::string_view> known) {
  for (auto&& [key, value] : table_) {
    if (std::ranges::find(known, key.str()) != known.end()) continue;
    wrong_at(key.source().begin, key.str(), fmt::format("unknown key; known are {}", fmt::join(known, ", ")));
    unknown_ = true;
  }
}

std::optional<std::string> fields::text(std::string_view key, std::string_view like) {
  const auto* const v = table_.get(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_string()) wrong(key, "wants text in quotes; write {} = \"{}\"", key, like);
  return v->value_exact<std::string>();
}

std::optional<std::string> fields::needed_text(std::string_view key, std::string_view like) {
  if (!has(key)) wrong(key, "is missing; write {} = \"{}\"", key, like);
  return text(key, like);
}

bool fields::flag(std::string_view key) {
  const auto* const v = table_.get(key);
  if (v != nullptr && !v->is_boolean()) wrong(key, "wants true or false; the default is {} = false", key);
  return v != nullptr && v->value_exact<bool>().value_or(false);
}

std::vector<const toml::table*> fields::tables(std::string_view key, std::string_view like) {
  std::vector<const toml::table*> out;
  const auto* const v = table_.get(key);
  if (v == nullptr) return out;
  const auto* const list = v->as_array();
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i)
    if (const auto* const item = (*list)[i].as_table()) out.push_back(item);
  if (list == nullptr || out.size() != list->size()) wrong(key, "write {}", like);
  return out;
}

std::vector<std::pair<std::string, toml::source_position>> fields::texts(std::string_view key, std::string_view like) {
  std::vector<std::pair<std::string, toml::source_position>> out;
  const auto* const v = table_.get(key);
  if (v == nullptr) return out;
  const auto* const list = v->as_array();
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i)
    if (auto item = (*list)[i].value_exact<std::string>())
      out.emplace_back(std::move(*item), (*list)[i].source().begin);
  if (list == nullptr || list->empty() || out.size() != list->size()) wrong(key, "write {}", like);
  return out;
}

bool is_name(std::string_view s) noexcept {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !s.empty() && s.size() <= 48 && letter(s[0]) &&
         std::ranges::all_of(s, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

}  // namespace recordkv::view
