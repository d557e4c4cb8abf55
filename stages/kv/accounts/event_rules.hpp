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

/// The host that an event came from. Call it only where something is wrong: the first look at a header parses all
/// headers.
std::string host_of(const event_handle& from);
/// The event comes from a firehose, whose commits are signed. It is a frame, or a marker in place of a frame.
bool of_firehose(const kv_event& e);
/// The source sent the event after newer ones.
bool came_late(const event_handle& from);

/// The commit came late, and is older than the account's first applied commit (`begun`). So it was never applied. The
/// chain of prev_data was only compared from `begun` on, so the chain does not show that this commit is missing.
/// Any other late commit was either applied before, or the chain has already shown a gap.
bool lost_by_lateness(const account& a, const kv_event& e);

/// Several Jetstream events of one rev make up a commit, so with Jetstream only an older rev is a repetition (X8).
bool is_repetition(const account& a, const atproto::repo_event& e);

/// Why the commit does not continue from the tree that was applied last: "gap" or "no_prev_data". Empty: it continues,
/// or one of the two trees is not known.
std::string_view broken_chain(const account& a, const atproto::repo_event& e);

/// The account's host says that the account is not to be served.
bool inactive(const kv::repo_state& s);

/// The account has been marked for this reason.
bool marked(const kv::repo_state& s, std::string_view reason);

/// Adds the collection to those in which the account has, or once had, records. False: the list is full.
bool note_collection(kv::repo_state& s, const std::string& collection);

/// Notes the number of an #account in the state. False: the state has this number already, or a greater one (X11). A
/// source without numbers, or with another epoch, is believed.
bool note_account_number(kv::repo_state& s, const kv_event& e);

/// The account's events have no effect: it is inactive, is being removed, or was removed.
bool is_away(const kv::repo_state& s);
/// #account said that it is inactive or deleted, and its PDS has not confirmed that yet.
bool is_unconfirmed(const kv::repo_state& s);
/// A person has removed the account, and its keys are still there.
bool is_to_be_cleared(const kv::repo_state& s);
/// Deleted, or removed by a person: its state may say no more of it than is needed against older repos (X12).
bool is_forgotten(const kv::repo_state& s);

}  // namespace recordkv::stages
