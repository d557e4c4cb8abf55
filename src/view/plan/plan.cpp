// Which collections a plan wants, and its hash.
#include "recordkv/view/plan.hpp"

#include <algorithm>

namespace recordkv::view {
namespace {

/// Raise it when extract() changes its meaning. Then every view is rebuilt, because its rows would differ.
constexpr std::string_view extraction_version = "2";

/// FNV-1a. It tells the definitions of a user apart. It need not withstand an attacker.
class fingerprint {
 public:
  void add(std::string_view s) {
    for (const char c : fmt::format("{}:", s.size())) mix(c);  // length first: "ab","c" is not "a","bc"
    for (const char c : s) mix(c);
  }
  void add(const std::vector<std::string>& list) {
    add(fmt::to_string(list.size()));
    for (const auto& s : list) add(s);
  }
  std::string text() const { return fmt::format("{:016x}", state_); }

 private:
  void mix(char c) { state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3; }
  std::uint64_t state_ = 0xcbf29ce484222325;
};

std::string text_of(const cell& c) {
  if (const auto* s = std::get_if<std::string>(&c)) return "s" + *s;
  if (const auto* n = std::get_if<std::int64_t>(&c)) return fmt::format("n{}", *n);
  if (const auto* d = std::get_if<double>(&c)) return fmt::format("d{}", *d);
  return "";
}

bool covers(std::string_view pattern, std::string_view collection) noexcept {
  return pattern.ends_with('*') ? collection.starts_with(pattern.substr(0, pattern.size() - 1)) : pattern == collection;
}

}  // namespace

bool plan::wants(std::string_view collection) const noexcept {
  if (rows_of == source::accounts) return collection.empty();
  return std::ranges::any_of(collections, [&](const auto& pattern) { return covers(pattern, collection); });
}

/// For a plan that was read, the definition says everything. The fields matter for a plan that was made in code.
std::string plan::hash() const {
  fingerprint f;
  f.add(extraction_version);
  f.add(definition);
  f.add(name);
  f.add(collections);
  if (rows_of == source::accounts) f.add("accounts");  // nothing for records: their views keep the hash that they have
  f.add(each);
  f.add(links ? "links" : "");
  f.add(fmt::to_string(columns.size()));
  for (const auto& c : columns) {
    f.add(c.name);
    f.add(c.pointer);
    f.add(fmt::format("{} {} {} {}", static_cast<int>(c.type), static_cast<int>(c.from), c.at_uri, c.required));
    f.add(text_of(c.fallback));
  }
  f.add(fmt::to_string(where.size()));
  for (const auto& t : where) {
    f.add(t.pointer);
    f.add(t.operand);
    f.add(fmt::format("{} {}", static_cast<int>(t.what), t.of_record));
  }
  f.add(count_by);
  f.add(fmt::to_string(indexes.size()));
  for (const auto& i : indexes) f.add(i);
  f.add(on_put);
  f.add(on_delete);
  return f.text();
}

}  // namespace recordkv::view
