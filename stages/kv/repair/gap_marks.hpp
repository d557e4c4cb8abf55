// Gaps of the sources, and the marks that they leave on accounts.
//
// Ingest writes each gap beside its cursor (kv/source_gaps.hpp). Any account may have events in it. So all accounts of
// this process's partitions are marked, once for each gap. Then it is noted, per partition, that the gap was dealt
// with.
//
// Owns: the keys `gaps.{p}` of bucket `repo`, and when a gap is due. They stand in the bucket of the states: if NATS
// takes writes back, the note goes before the marks do. Does not know: how an account is marked (loss_marks.hpp) and
// repaired.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/rate_limited.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/stage.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace recordkv::stages {

class gap_marks {
 public:
  /// Marks these accounts and returns once the marks are durable, with how many accounts were marked.
  using mark_function = std::function<task<result<std::size_t>>(std::vector<std::string> dids)>;

  /// How often NATS is asked. Gaps are rare, and an account that may have missed events can wait for seconds.
  static constexpr std::chrono::milliseconds usual_pause{5000};
  /// A gap whose end is not known yet is waited for so long: its first event comes with its end.
  static constexpr std::chrono::seconds patience{30};

  gap_marks(stage_context& ctx, std::vector<std::string> labels, mark_function mark,
            std::chrono::milliseconds look_every = usual_pause);

  /// Looks for gaps until close().
  task<> run();
  void close() noexcept;

 private:
  struct noted {
    std::set<std::string> gaps;
    std::uint64_t seq = 0;  // of the key, for compare-and-set
  };
  using notes = std::map<std::string, noted, std::less<>>;

  task<result<void>> look();
  task<result<std::set<std::string>>> gaps_due();
  task<result<void>> read_notes();
  task<result<void>> mark_all(const std::set<std::string, std::less<>>& labels);
  task<result<void>> note(const std::set<std::string, std::less<>>& labels, std::set<std::string> gaps);

  stage_context& ctx_;
  mark_function mark_;
  std::chrono::milliseconds look_every_;
  kv::bucket repo_, cursors_;
  notes notes_;
  bool read_ = false, closed_ = false;
  rate_limited told_;
  event closing_;
};

}  // namespace recordkv::stages
