#include "recordkv/config/shipped.hpp"

#include "shipped_files.hpp"

#include <fnmatch.h>

#include <algorithm>

namespace recordkv::shipped {
namespace {

constexpr std::string_view quickstart_file = "quickstart.toml", reference_file = "recordkv.toml", ending = ".toml";

const file* find(std::string_view name) noexcept {
  const auto all = all_files();
  const auto at = std::ranges::find(all, name, &file::name);
  return at == all.end() ? nullptr : &*at;
}

}  // namespace

std::vector<std::string> views_matching(std::string_view pattern) {
  std::vector<std::string> out;
  if (!pattern.starts_with(prefix)) return out;
  const std::string wanted(pattern.substr(prefix.size()));
  for (const auto& f : all_files()) {
    if (f.name == quickstart_file || f.name == reference_file) continue;
    const std::string name(f.name.substr(0, f.name.size() - ending.size()));
    if (fnmatch(wanted.c_str(), name.c_str(), 0) == 0) out.push_back(std::string(prefix) + name);
  }
  return out;
}

std::optional<std::string_view> text_of(std::string_view name) noexcept {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  for (const auto& f : all_files())
    if (f.name != reference_file && f.name.substr(0, f.name.size() - ending.size()) == name) return f.text;
  return std::nullopt;
}

std::string_view reference_configuration() noexcept { return find(reference_file)->text; }

}  // namespace recordkv::shipped
