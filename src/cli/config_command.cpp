// `config check` and `config show`.
//
// Owns: which checks `config check` makes. Does not know: the keys (recordkv/config.hpp).
#include "commands.hpp"
#include "output.hpp"
#include "recordkv/projection/configured_views.hpp"

#include <algorithm>

namespace recordkv::cli {

int config_command(const invocation& i, std::span<const stage_entry> extra) {
  auto cfg = load_config(i.sources);
  if (!cfg) return complain(cfg.error());
  if (auto stages = chosen_stages(*cfg, extra); !stages) return complain(stages.error());
  const bool has_views = std::ranges::find(cfg->stages, "index") != cfg->stages.end();
  if (i.action == "check" && has_views)  // what `check` accepts, `run` accepts
    if (auto views = projection::configured_views(*cfg); !views) return complain(views.error());
  for (const auto& w : cfg->warnings) write_error("recordkv: warning: {}\n", w);
  if (i.action == "check") {
    write_out("the configuration is valid\n");
    return done;
  }
  auto settings = show_config(i.sources);
  if (!settings) return complain(settings.error());
  for (const auto& s : *settings) write_out("{:<28} = {:<40} # {}\n", s.key, s.value, s.origin);
  return done;
}

}  // namespace recordkv::cli
