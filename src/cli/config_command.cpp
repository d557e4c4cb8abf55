// `config check` and `config show`.
#include "commands.hpp"

#include <cstdio>

namespace recordkv::cli {

int config_command(const invocation& i, std::span<const stage_entry> extra) {
  auto cfg = load_config(i.sources);
  if (!cfg) return complain(cfg.error());
  if (auto stages = chosen_stages(*cfg, extra); !stages) return complain(stages.error());
  for (const auto& w : cfg->warnings) fmt::print(stderr, "recordkv: warning: {}\n", w);
  if (i.action == "check") {
    fmt::print("the configuration is valid\n");
    return done;
  }
  auto settings = show_config(i.sources);
  if (!settings) return complain(settings.error());
  for (const auto& s : *settings) fmt::print("{:<28} = {:<40} # {}\n", s.key, s.value, s.origin);
  return done;
}

}  // namespace recordkv::cli
