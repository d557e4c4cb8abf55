// A stage: one of the parts that a process may run.
//
// Owns: the interface, the context of a stage, the form of the table of stages.
// Does not know: which stages there are.
#pragma once

#include "recordkv/config.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/part_stats.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/kv/store_names.hpp"
#include "recordkv/nats/connection.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <memory>
#include <span>
#include <string_view>

namespace recordkv {

/// References that outlive every stage.
struct stage_context {
  nats::connection& nc;
  const config& cfg;
  meters& counters;
  nats::server_facts facts;
  stats_board* board = nullptr;  ///< the board that lists the stage's statistics; null: none
  /// At a start, a missing answer is an error only after this time (nats.start_timeout).
  std::chrono::steady_clock::time_point start_until;

  /// The names of the configured store's NATS objects.
  kv::store_names names() const { return kv::store_names(cfg.kv.bucket); }

  /// The same context for a part with its own counters.
  stage_context counting_in(meters& own) const { return {nc, cfg, own, facts, board, start_until}; }
};

class stage {
 public:
  virtual ~stage() = default;
  virtual std::string_view name() const = 0;

  /// Acquires its leases and streams, works until it is closed or cannot go on, and returns once everything it holds
  /// is settled. errc::lease_lost: another process does this work.
  virtual task<result<void>> run() = 0;

  /// Stops taking in; run() returns once everything is settled. Idempotent, loop thread.
  virtual void close() noexcept = 0;
};

using stage_factory = result<std::unique_ptr<stage>> (*)(stage_context&);

struct stage_entry {
  std::string_view name;
  stage_factory make;
  std::string_view help;
};

/// The stages that come with recordkv, in the order of the data flow.
std::span<const stage_entry> builtin_stages();

}  // namespace recordkv
