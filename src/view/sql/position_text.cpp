#include "sql/position_text.hpp"

#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace recordkv::view {

namespace json = boost::json;

std::string seq_text(const std::map<std::string, std::uint64_t>& seq) {
  std::string out = "{";
  for (const auto& [label, n] : seq)
    out += fmt::format("{}{}:{}", out.size() == 1 ? "" : ",", json::serialize(json::string_view(label)), n);
  return out + '}';
}

std::optional<std::map<std::string, std::uint64_t>> parse_seq(std::string_view text) {
  json::error_code ec;
  const auto parsed = json::parse(text, ec);
  if (ec || !parsed.is_object()) return std::nullopt;
  std::map<std::string, std::uint64_t> out;
  for (const auto& [label, n] : parsed.get_object()) {
    const auto number = n.to_number<std::uint64_t>(ec);
    if (ec) return std::nullopt;
    out.emplace(label, number);
  }
  return out;
}

std::string names_text(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const auto& n : names)
    out += fmt::format("{}{}", out.size() == 1 ? "" : ",", json::serialize(json::string_view(n)));
  return out + ']';
}

std::optional<std::vector<std::string>> parse_names(std::string_view text) {
  json::error_code ec;
  const auto parsed = json::parse(text, ec);
  if (ec || !parsed.is_array()) return std::nullopt;
  std::vector<std::string> out;
  for (const auto& n : parsed.get_array()) {
    if (!n.is_string()) return std::nullopt;
    out.emplace_back(n.get_string());
  }
  return out;
}

std::optional<position> moved(position stored, const position& previous, const position& next) {
  if (stored.created != previous.created || stored.generation != previous.generation) return std::nullopt;
  const auto stands = [](const position& p, const std::string& label) {
    const auto at = p.seq.find(label);
    return at == p.seq.end() ? 0 : at->second;
  };
  for (const auto& [label, to] : next.seq) {
    if (stands(stored, label) != stands(previous, label)) return std::nullopt;
    stored.seq[label] = to;
  }
  stored.created = next.created;
  stored.generation = next.generation;
  return stored;
}

}  // namespace recordkv::view
