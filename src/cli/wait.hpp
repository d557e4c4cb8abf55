// Waiting until views have caught up, for `wait`, `put --wait` and `del --wait`.
//
// Owns: what "caught up" means: a view's position against the last message that the view wants, by partition, never
// against the store's last sequence (docs/invariants.md X21). Refuses to know: who keeps the views.
#pragma once

#include "commands.hpp"

#include <string>

namespace recordkv::cli {

/// `uri`: only for this record; empty: for the store as it is now. `view`: only this one; empty: every configured view
/// that wants what is waited for. Exit code; complains about what does not move.
task<int> wait_for_views(session s, std::string uri, std::string view);

/// Whether a later wait_for_views() for a record of this collection can come to its end: the views can be read, and a
/// process keeps each that wants it. One that has just been started is waited for, with a line. Errors as
/// wait_for_views would end, so that `put --wait` finds them before it writes.
task<result<void>> views_can_follow(session s, std::string collection);

}  // namespace recordkv::cli
