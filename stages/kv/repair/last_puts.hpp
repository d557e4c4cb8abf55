// The last puts of one partition: the value of key `at.{partition}` in bucket `repo` (docs/invariants.md X20).
//
// nats-server acknowledges a write before it is on disk, and may take it back in a crash. The list names some puts of
// the past. As long as the newest of them is in the store, everything before it is there, too.
//
// Owns: the JSON form, which puts are kept, and what the store's answers about them mean.
// Does not know: NATS, and which accounts follow from a loss (loss_marks.hpp). Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::stages {

struct kept_put {
  std::string key;        ///< in the store's bucket, without its prefix
  std::uint64_t seq = 0;  ///< of the store's stream
  std::int64_t time = 0;  ///< when it became the newest, in milliseconds since 1970
  bool operator==(const kept_put&) const = default;
};

class last_puts {
 public:
  /// Kept behind the newest one, each at least an interval older than the one before it.
  static constexpr std::size_t max_older = 10;

  /// A put is stored. Called for each put, so it does nothing but remember the newest.
  void stored(std::string_view key, std::uint64_t seq);
  /// The newest put is not in the list yet.
  bool has_news() const noexcept { return newest_seq_ > (kept_.empty() ? 0 : kept_.front().seq); }
  /// Brings the newest put into the list.
  void take_news(std::int64_t now, std::chrono::milliseconds interval);
  /// Forgets the newest put, and the first `n` of the list: they are no longer in the store.
  void drop(std::size_t n);

  /// The newest first.
  const std::vector<kept_put>& kept() const noexcept { return kept_; }
  /// The same with the newest put before them, if it is news.
  std::vector<kept_put> known() const;
  std::uint64_t newest_seq() const noexcept;

  /// `writer`: the process that writes the key.
  std::string text(std::string_view writer) const;
  /// The list of such a text; empty if it is none.
  static last_puts parse(std::string_view text);
  static std::string writer_of(std::string_view text);

 private:
  std::vector<kept_put> kept_;
  std::string newest_;
  std::uint64_t newest_seq_ = 0;
};

/// What the store says of a put, by the sequence of the newest message of its key. nullopt: the key has no message.
enum class put_fate {
  stands,
  overwritten,  ///< another message of the key came later: nothing is known about this put
  lost,
};
put_fate fate_of(const kept_put& p, std::optional<std::uint64_t> newest_of_key) noexcept;

/// The verdict on a whole list, as the answers come in.
struct puts_verdict {
  bool lost = false;                      ///< writes were taken back
  std::optional<std::uint64_t> standing;  ///< the newest put that stands: everything at or below is stored
  std::size_t fallen = 0;                 ///< how many puts stand before it in the list
  bool operator==(const puts_verdict&) const = default;

  /// Takes the fate of the next put of the list. True: the rest of the list need not be asked for.
  bool take(const kept_put& p, put_fate f);
};

}  // namespace recordkv::stages
