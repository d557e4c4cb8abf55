// Waiting until views have caught up, for `wait`, `put --wait` and `del --wait`.
//
// Owns: what "caught up" means. A view's position is compared with the last message that the view wants, by partition,
// never with the store's last sequence (docs/invariants.md X21).
// Does not know: which process keeps the views.
#pragma once

#include "commands.hpp"

#include <string>

namespace recordkv::cli {

/// `uri`: only for this record; empty: for the store as it is now. `view`: only this one; empty: every configured view
/// that wants the records. Returns the exit code; prints an error about a view that does not move.
task<int> wait_for_views(session s, std::string uri, std::string view);

/// Checks that a later wait_for_views() for a record of this collection can succeed. The views must be readable, and a
/// process must keep each view that wants it. A process that has just been started is waited for, with a line. The
/// errors are those of wait_for_views, so `put --wait` finds them before it writes.
task<result<void>> views_can_follow(session s, std::string collection);

}  // namespace recordkv::cli
