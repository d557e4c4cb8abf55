// What a stage is: one of the parts a process may run.
//
// Owns: the interface, what a stage is given, the shape of the table it stands in.
// Refuses to know: which stages there are.
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
  stats_board* board = nullptr;  ///< where a stage hangs its figures; null: nobody looks
  /// An answer that does not come ends a start only after this (nats.start_timeout).
  std::chrono::steady_clock::time_point start_until{};

  /// What the objects of the configured store are called.
  kv::store_names names() const { return kv::store_names(cfg.kv.bucket); }

  /// The same for a part that counts on its own.
  stage_context counting_in(meters& own) const { return {nc, cfg, own, facts, board, start_until}; }
};

class stage {
 public:
  virtual ~stage() = default;
  virtual std::string_view name() const = 0;

  /// Takes its locks and streams, works until closed or until it can't go on, and returns once everything it holds is
  /// settled. errc::lease_lost: another process does this work.
  virtual task<result<void>> run() = 0;

  /// Stop taking in; run() returns when dry. Idempotent, loop thread.
  virtual void close() noexcept = 0;
};

using stage_factory = result<std::unique_ptr<stage>> (*)(stage_context&);

struct stage_entry {
  std::string_view name;
  stage_factory make;
  std::string_view help;
};

/// The stages that come with recordkv, in pipe order.
std::span<const stage_entry> builtin_stages();

}  // namespace recordkv
