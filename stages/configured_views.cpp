// From the configuration to the plans of the views that are to be kept.
//
// Owns: finding the files that index.views names, and that no name stands in two of them.
// Refuses to know: what stands in a view file (view/plan.hpp).
#include "stages.hpp"

#include <glob.h>

#include <algorithm>

namespace recordkv::stages {
namespace {

std::vector<std::string> matching_files(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> out;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) out.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  return out;
}

}  // namespace

result<std::vector<view::plan>> configured_views(const config& cfg) {
  std::vector<view::plan> plans;
  for (const auto& pattern : cfg.index.views) {
    const auto files = matching_files(pattern);
    if (files.empty())
      return fail(errc::bad_config, "index.views: no file matches \"{}\" (relative to the working directory)", pattern);
    for (const auto& file : files) {
      auto loaded = view::load_plans(file);
      if (!loaded) return loaded.error();
      for (auto& p : *loaded) {
        const auto twin = std::find_if(plans.begin(), plans.end(), [&](const auto& q) { return q.name == p.name; });
        if (twin != plans.end())
          return fail(errc::bad_config, "{}:{}: view \"{}\" is already defined in {}:{}", p.file, p.line, p.name,
                      twin->file, twin->line);
        plans.push_back(std::move(p));
      }
    }
  }
  return plans;
}

}  // namespace recordkv::stages
