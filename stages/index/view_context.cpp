#include "view_context.hpp"

#include "recordkv/stage/partition_assignment.hpp"

#include <algorithm>

namespace recordkv::stages {

bool history::holds(const view::position& at, const projection::view_source& from) const {
  return store.meta.is_of(at.created) && at.generation == store.meta.generation &&
         std::ranges::all_of(at.seq, [end = end_of(from)](const auto& one) { return one.second <= end; });
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
  co_return history{std::move(*store)};
}

task<result<void>> view_context::remove_left_consumers(std::string stream, std::vector<std::string> in_use) {
  if (auto left = co_await remove_left_durables(ctx.nc, stream, spec); !left) co_return left;
  auto names = co_await nats::consumer_names(ctx.nc, stream);
  if (!names) co_return names.error();
  const auto prefix = spec.base + "-";
  const auto suffix = spec.assigned->suffix();
  for (const auto& n : *names) {
    const bool of_a_build = n.starts_with(prefix) && n.ends_with(suffix) &&
                            n.size() == prefix.size() + 16 + suffix.size() &&
                            n.find_first_not_of("0123456789abcdef", prefix.size()) >= prefix.size() + 16;
    if ((!of_a_build && n != spec.key()) || std::ranges::find(in_use, n) != in_use.end()) continue;
    auto gone = co_await nats::api(ctx.nc, fmt::format("CONSUMER.DELETE.{}.{}", stream, n));
    if (!gone && gone.error().code != errc::not_found) co_return gone.error();
  }
  co_return result<void>{};
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
