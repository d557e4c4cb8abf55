// A wish that a command has made for an account: whether it is fulfilled, and waiting for that.
//
// Owns: what "fulfilled" and "failed" mean, by the account's state; the bar, the lines and the exit code of --wait.
// Does not know: making a wish (repo_change.hpp), and what stage kv does with it.
#pragma once

#include "commands.hpp"
#include "lock_table.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "recordkv/kv/wishes.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::cli {

struct made_wish {
  kv::wish what;
  std::string handle;       ///< as the person wrote it; empty: a DID was written
  std::string partition;    ///< of the account
  std::uint64_t seq = 0;    ///< in bucket `repo`
  kv::repo_state before{};  ///< the account's state when the wish was made; without a DID: it had none
  std::string who() const;  ///< "HANDLE (DID)", or the DID
};

/// What bucket `repo` has of the account. The wish was read before the state.
struct wish_facts {
  enum class key { pending, gone, replaced };
  key wish = key::pending;
  std::optional<kv::repo_state> state;
  std::uint64_t state_seq = 0;
};

/// `w` outlives the call.
task<result<wish_facts>> read_wish_facts(session s, const made_wish& w, unsigned partitions);

struct wish_verdict {
  enum class word { waiting, fulfilled, failed };
  word is = word::waiting;
  std::string text;           ///< what holds it up, what it has led to, or why it failed
  std::int64_t next_try = 0;  ///< seconds since 1970; 0: none is planned
};

/// `now`: seconds since 1970. Sequences say what came after the wish, because the clocks of two machines may differ.
wish_verdict judge(const made_wish& w, const wish_facts& facts, double now);

/// `running`: a live process runs stage kv for the account.
boost::json::object wish_report(const made_wish& w, const wish_verdict& v, bool running);

/// Whether a live process runs stage kv for this partition.
bool is_taken(const std::vector<lock_row>& rows, const std::string& partition, unsigned partitions);

/// No process runs stage kv for these partitions, and what that means for wishes.
std::string not_taken_text(const std::vector<std::string>& partitions);

/// Returns once each wish is fulfilled or has failed, at SIGINT and SIGTERM, or if no process runs stage kv for one.
/// The wishes stay in every case.
task<int> await_wishes(session s, std::vector<made_wish> wishes, unsigned partitions, bool as_json);

}  // namespace recordkv::cli
