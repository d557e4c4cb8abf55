#include "position_text.hpp"

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

}  // namespace recordkv::view
