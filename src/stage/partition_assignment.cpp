#include "recordkv/stage/partition_assignment.hpp"

#include "recordkv/core/log.hpp"

namespace recordkv::stages {

result<kv::lease_spec> lease_spec_of(std::string base, std::string_view assign, const config& cfg) {
  auto assigned = kv::partition_set::parse(assign, cfg.kv.partitions);
  if (!assigned)
    return fail(errc::bad_config, "{}: {}", base == "kv" ? "kv.assign" : "index.assign", assigned.error().text);
  return kv::lease_spec{.base = std::move(base),
                        .assigned = std::move(*assigned),
                        .partitions = cfg.kv.partitions,
                        .replicas = cfg.nats.replicas,
                        .names = cfg.kv.bucket};
}

// This process holds the lease of `mine`, so no live process has an overlapping one (kv/lease.hpp), and no process
// uses these durables. On a work queue NATS would refuse a new durable beside them.
task<result<void>> remove_left_durables(nats::connection& nc, std::string stream, kv::lease_spec mine) {
  auto names = co_await nats::consumer_names(nc, stream);
  if (!names) co_return names.error();
  for (const auto& name : *names) {
    const auto theirs = kv::partition_set::of_name(name, mine.base, mine.partitions);
    if (name == mine.key() || !theirs || !theirs->overlaps(*mine.assigned)) continue;
    log::info("assign", "consumer {} of an earlier assignment overlaps {}: removed", name, mine.key());
    auto gone = co_await nats::api(nc, fmt::format("CONSUMER.DELETE.{}.{}", stream, name));
    if (!gone && gone.error().code != errc::not_found) co_return gone.error();
  }
  co_return result<void>{};
}

}  // namespace recordkv::stages
