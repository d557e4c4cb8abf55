#include "view_part.hpp"

#include <algorithm>

namespace recordkv::stages {

bool history::holds(const view::position& at) const {
  return (at.created == created || std::ranges::find(was, at.created) != was.end()) && at.generation == generation &&
         std::ranges::all_of(at.seq, [&](const auto& one) { return one.second <= last_seq; });
}

view_part::view_part(stage_context& outer, std::string view, kv::claim mine, view::store& database,
                     std::function<std::string()> report)
    : name(std::move(view)),
      share(std::move(mine)),
      shown{.stage = "index", .part = share.key()},
      ctx(outer.counting_in(shown.counted)),
      rows(database),
      owner(outer.nc, share, std::move(report)),
      labels(share.share->labels()) {}

std::vector<std::string> view_part::subject_labels() const {
  return share.share->all() ? std::vector<std::string>{"*"} : labels;
}

task<result<history>> view_part::read_history() {
  auto store = co_await kv::open_store(ctx.nc, ctx.names(), ctx.cfg.kv.partitions, ctx.cfg.nats.replicas);
  if (!store) co_return store.error();
  co_return history{store->meta.created, store->meta.was, store->meta.generation, store->store.last_seq};
}

cause view_part::trouble_cause() const {
  switch (trouble_code_) {
    case errc::locked: return cause::database_locked;
    case errc::no_space: return cause::disk_full;
    default: return cause::database;
  }
}

void view_part::note_health(const std::string& not_moving) {
  shown.warning = swap_refused.empty() ? database_warning : swap_refused;
  auto& ill = shown.condition;
  const auto now = std::chrono::system_clock::now();
  if (!ctx.nc.up())
    ill.bad(cause::nats_down, "no connection to NATS: " + ctx.nc.trouble(), now);
  else if (const auto denied = ctx.nc.denied(); !denied.empty())
    ill.bad(cause::nats_denied, denied, now);
  else if (!trouble_.empty())
    ill.bad(trouble_cause(), trouble_, now);
  else if (!not_moving.empty())
    ill.bad(cause::consumer_not_moving, not_moving, now);
  else
    ill.good();
}

}  // namespace recordkv::stages
