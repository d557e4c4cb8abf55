#include "recordkv/projection/configured_views.hpp"

#include "recordkv/config/shipped.hpp"

#include <glob.h>

#include <algorithm>

namespace recordkv::projection {
namespace {

std::vector<std::string> matching_files(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> out;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) out.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  return out;
}

/// The tables of a view. No other view may have them: readers know tables by name.
std::vector<std::string> tables_of(const view::plan& p) {
  std::vector<std::string> out{p.name, p.name + "_rejects"};
  for (const auto& c : p.count_by) out.push_back(fmt::format("{}_by_{}", p.name, c));
  return out;
}

result<void> add(std::vector<view::plan>& plans, view::plan p) {
  for (const auto& other : plans) {
    const auto taken = tables_of(other);
    for (const auto& t : tables_of(p))
      if (std::ranges::find(taken, t) != taken.end())
        return fail(errc::bad_config, "{}:{}: view \"{}\": table {} is already that of view \"{}\" in {}:{}", p.file,
                    p.line, p.name, t, other.name, other.file, other.line);
  }
  plans.push_back(std::move(p));
  return {};
}

}  // namespace

result<std::vector<std::string>> view_files(const config& cfg) {
  std::vector<std::string> out;
  for (const auto& pattern : cfg.index.views) {
    const bool ships = pattern.starts_with(shipped::prefix);
    const auto files = ships ? shipped::views_matching(pattern) : matching_files(pattern);
    if (files.empty() && ships)
      return fail(errc::bad_config, "index.views: no view \"{}\" ships with recordkv; there are: {}", pattern,
                  fmt::join(shipped::views_matching("builtin:*"), ", "));
    if (files.empty())
      return fail(
          errc::bad_config,
          "index.views: no file matches \"{}\" (relative to the working directory); \"builtin:*\" are the views "
          "that ship",
          pattern);
    for (const auto& f : files)
      if (std::ranges::find(out, f) == out.end()) out.push_back(f);
  }
  return out;
}

result<std::vector<view::plan>> plans_of_file(const std::string& name) {
  const auto text = shipped::text_of(name);
  return text ? view::plans_in_text(*text, name) : view::load_plans(name);
}

result<std::vector<view::plan>> configured_views(const config& cfg) {
  auto files = view_files(cfg);
  if (!files) return files.error();
  std::vector<view::plan> plans;
  for (const auto& file : *files) {
    auto loaded = plans_of_file(file);
    if (!loaded) return loaded.error();
    for (auto& p : *loaded)
      if (auto added = add(plans, std::move(p)); !added) return added.error();
  }
  return plans;
}

}  // namespace recordkv::projection
