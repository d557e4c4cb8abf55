// What one frame of the firehose is worth, check by check.
//
// Owns: the checks and their words, what is remembered of each account to judge its next commit.
// Does not know: where frames and keys come from, how a verdict is printed. Pure; memory is bounded.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/signature.hpp"
#include "recordkv/core/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace recordkv::cli {

/// A message, decoded as far as that is possible.
struct read_frame {
  explicit read_frame(std::string bytes);
  /// A message that never was a frame, and why: "text_message", "oversize".
  read_frame(std::string bytes, std::string_view fault);

  /// Whether an account's key decides about it.
  bool is_signed() const noexcept { return event && event->proof.has_value(); }

  std::string bytes;
  result<atproto::repo_event> event;
  atproto::frame_summary summary;  ///< empty where even that cannot be read
};

enum class weight {
  fine,
  notable,  ///< allowed, or not decided
  failed,
};

struct check {
  std::string_view name;     ///< "proof"
  std::string_view verdict;  ///< "ok", "bad", …
  std::string reason;        ///< may be empty
  weight what = weight::fine;
};

struct judged_frame {
  std::uint64_t seq = 0;  ///< 0: it has none
  std::string_view kind;
  std::string did, rev;  ///< empty where it has none
  std::size_t ops = 0, size = 0;
  std::vector<check> checks;

  bool failed() const noexcept;
};

/// Checks, in this order, as far as they apply to the kind of frame and were not decided before:
///   frame      ok, bad, error (an error frame of the host)
///   records    ok, bad
///   proof      ok, partial (a host from before Sync 1.1), bad
///   signature  ok, bad, unknown_key
///   rev        ok, same (as the account's last: a repetition), older, future
///   chain      ok, first, gap, reset (a #sync to other data)
class frame_judge {
 public:
  using clock = std::chrono::system_clock;

  /// `key`: of the account, or why it is not known; absent: signatures are not checked.
  judged_frame judge(const read_frame& f, const std::optional<result<atproto::public_key>>& key, clock::time_point now);

 private:
  struct commit {
    std::string rev, data;
  };

  void judge_signed(const atproto::repo_event& e, const std::optional<result<atproto::public_key>>& key,
                    clock::time_point now, std::vector<check>& out);
  void judge_chain(const atproto::repo_event& e, std::vector<check>& out);

  std::unordered_map<std::string, commit> last_;  // by DID: the newest commit that was not refused
};

}  // namespace recordkv::cli
