#include "view_context.hpp"

#include <algorithm>

namespace recordkv::stages {

bool history::holds(const view::position& at) const {
  return (at.created == created || std::ranges::find(was, at.created) != was.end()) && at.generation == generation &&
         std::ranges::all_of(at.seq, [&](const auto& one) { return one.second <= last_seq; });
}

view_context::view_context(stage_context& outer, std::string view, kv::lease_spec assignment, view::store& database,
                           part_hooks hooks)
    : name(std::move(view)),
      spec(std::move(assignment)),
      life(outer, "index", spec, std::move(hooks)),
      rows(database),
      labels(spec.assigned->labels()) {}

std::vector<std::string> view_context::subject_labels() const {
  return spec.assigned->all() ? std::vector<std::string>{"*"} : labels;
}

task<result<history>> view_context::read_history() {
  auto store = co_await kv::open_store(ctx.nc, ctx.names(), ctx.cfg.kv.partitions, ctx.cfg.nats.replicas);
  if (!store) co_return store.error();
  co_return history{store->meta.created, store->meta.was, store->meta.generation, store->store.last_seq};
}

cause view_context::stall_cause() const {
  switch (last_error_code_) {
    case errc::locked: return cause::database_locked;
    case errc::no_space: return cause::disk_full;
    default: return cause::database;
  }
}

void view_context::note_health(const std::string& stall_of_consumer) {
  shown.warning = swap_refused.empty() ? database_warning : swap_refused;
  if (!last_error_.empty())
    life.note_health({stall_cause(), last_error_});
  else
    life.note_health({cause::consumer_not_moving, stall_of_consumer});
}

}  // namespace recordkv::stages
