// From a parsed command line to the command.
//
// Owns: the table of commands. Does not know: what a command does.
#include "recordkv/run.hpp"

#include "commands.hpp"
#include "output.hpp"
#include "recordkv/config/shipped.hpp"
#include "recordkv/core/log.hpp"

#include <map>

namespace recordkv {
namespace {

void set_log(const config& cfg) {
  static const std::map<std::string, log::level, std::less<>> levels = {{"debug", log::level::debug},
                                                                        {"info", log::level::info},
                                                                        {"warn", log::level::warn},
                                                                        {"error", log::level::error}};
  if (const auto l = levels.find(cfg.log.level); l != levels.end()) log::set_level(l->second);
  log::set_format(cfg.log.format == "json" ? log::format::json : log::format::text);
}

constexpr struct {
  std::string_view name;
  int (*call)(const cli::invocation&, const config&);
} commands[] = {{"get", cli::get},           {"ls", cli::ls},       {"put", cli::put},
                {"del", cli::del},           {"likes", cli::likes}, {"query", cli::query},
                {"view", cli::view_command}, {"wait", cli::wait},   {"tail", cli::tail},
                {"status", cli::status},     {"reset", cli::reset}, {"repo", cli::repo_command},
                {"frames", cli::frames}};

int run_command(int argc, char** argv, std::span<const stage_entry> extra) {
  auto [what, exit_code] = cli::parse_command_line(argc, argv);
  if (exit_code >= 0) return exit_code;
  if (what.list_stages) {
    for (const auto& e : builtin_stages()) cli::write_out("{:<8} {}\n", e.name, e.help);
    for (const auto& e : extra) cli::write_out("{:<8} {}\n", e.name, e.help);
    return cli::done;
  }
  if (what.command == "init") return cli::init(what);
  if (what.command == "config") return cli::config_command(what, extra);
  if (what.command == "up" && what.sources.files.empty()) what.sources.files.emplace_back(shipped::quickstart);
  auto cfg = load_config(what.sources);
  if (!cfg) return cli::complain(cfg.error());
  set_log(*cfg);
  if (what.command == "run") return cli::run_stages(*cfg, extra, cli::hangup::told);
  if (what.command == "up") return cli::up(*cfg, extra, std::move(what.repo.accounts));
  for (const auto& c : commands)
    if (c.name == what.command) return c.call(what, *cfg);
  return cli::usage;
}

}  // namespace

int run(int argc, char** argv, std::span<const stage_entry> extra) {
  cli::guard_standard_streams();
  return cli::exit_code_after_output(run_command(argc, argv, extra));
}

}  // namespace recordkv
