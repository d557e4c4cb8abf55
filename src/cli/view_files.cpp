#include "view_files.hpp"

#include "output.hpp"
#include "recordkv/config/shipped.hpp"
#include "recordkv/projection/configured_views.hpp"
#include "recordkv/view/store.hpp"
#include "running_index.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace recordkv::cli {
namespace {

std::string text_of_file(const std::string& name) {
  if (const auto text = shipped::text_of(name)) return std::string(*text);
  std::ifstream in(name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The file with its comments and tests if it holds this view alone; otherwise the view's own table.
result<std::optional<std::string>> definition_in(const std::string& file, const std::string& view) {
  auto plans = projection::plans_of_file(file);
  if (!plans) return plans.error();
  const auto p = std::ranges::find(*plans, view, &view::plan::name);
  if (p == plans->end()) return std::optional<std::string>{};
  return std::optional(plans->size() == 1 ? text_of_file(file) : p->definition);
}

result<std::string> definition_of(const config& cfg, const std::string& view) {
  auto files = cfg.index.views_asked_for ? projection::view_files(cfg) : std::vector<std::string>{};
  if (!files) return files.error();
  for (const auto& name : shipped::views_matching("builtin:*")) files->push_back(name);
  for (const auto& file : *files) {
    auto text = definition_in(file, view);
    if (!text) return text.error();
    if (*text) return std::move(**text);
  }
  auto there = view::read_builds(find_database(cfg, view), view);
  if (!there) return there.error();
  if (!there->live) return fail(errc::not_found, "there is no view \"{}\"; `recordkv view list` names them", view);
  return there->live->definition;
}

result<std::vector<std::string>> failures_in(const std::string& file, std::size_t& ran) {
  const auto text = shipped::text_of(file);
  return text ? view::check_text(*text, file, &ran) : view::check_plans(file, &ran);
}

int check_file(const std::string& file) {
  auto plans = projection::plans_of_file(file);
  if (!plans) return complain(plans.error());
  std::size_t ran = 0;
  auto failures = failures_in(file, ran);
  if (!failures) return complain(failures.error());
  for (const auto& f : *failures) write_error("{}\n", f);
  for (const auto& p : *plans) write_out("{}: view {}, definition {}\n", file, p.name, p.hash());
  write_out("{}: {} of {} tests pass\n", file, ran - failures->size(), ran);
  return failures->empty() ? done : no;
}

}  // namespace

int check_views(const invocation& i, const config& cfg) {
  auto files = i.files.empty() ? projection::view_files(cfg) : i.files;
  if (!files) return complain(files.error());
  int answer = done;
  for (const auto& file : *files) answer = std::max(answer, check_file(file));
  if (answer == done && i.files.empty())
    if (auto all = projection::configured_views(cfg); !all) return complain(all.error());
  return answer;
}

int print_definition(const invocation& i, const config& cfg) {
  auto text = definition_of(cfg, i.view);
  if (!text) return complain(text.error());
  write_text(*text);
  if (!text->ends_with('\n')) write_text("\n");
  return done;
}

}  // namespace recordkv::cli
