// What an account's state and an event say about each other, before any record is looked at.
//
// Owns: repetition, lateness, the chain of commits, inactive accounts, the host that an event came from.
// Does not know: what follows from the answers (apply.hpp). Pure.
#pragma once

#include "account_cache.hpp"
#include "kv_event.hpp"

#include <string>
#include <string_view>

namespace recordkv::stages {

/// The host that an event came from: header `source` is "{kind}.{enc(host)}". Called only where something is wrong,
/// because the first look at a header parses them all.
std::string host_of(const event_handle& from);
/// The event was read from a firehose, whose commits are signed: a frame, or a marker that stands for one.
bool of_firehose(const kv_event& e);
/// The source sent the event after newer ones.
bool came_late(const event_handle& from);

/// A late commit older than the account's first applied one. It was never applied, and no later prev_data shows that.
/// Any other late commit was applied, or prev_data has shown the gap.
bool lost_by_lateness(const account& a, const kv_event& e);

/// Several Jetstream events of one rev make up a commit, so there only an older rev is a repetition (X8).
bool is_repetition(const account& a, const atproto::repo_event& e);

/// Why the commit does not continue from the tree that was applied last: "gap", "no_prev_data"; empty: it does.
std::string_view broken_chain(const account& a, const atproto::repo_event& e);

/// Its host says that the account is not to be served.
bool inactive(const kv::repo_state& s);

/// Has been marked for this reason.
bool marked(const kv::repo_state& s, std::string_view reason);

}  // namespace recordkv::stages
