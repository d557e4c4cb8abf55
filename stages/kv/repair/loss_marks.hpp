// How an account's state is marked when events or writes of it may be lost, although no event of its own shows that.
//
// Owns: the two reasons, `taken_back` (NATS took writes back, X20) and `source_gap` (the source has left events out),
// and what they mean for each status. Does not know: how a loss is noticed (lost_writes.hpp, gap_marks.hpp), and how an
// account is repaired. Pure.
#pragma once

#include "../accounts/account_cache.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace recordkv::stages {

inline constexpr std::string_view taken_back = "taken_back", source_gap = "source_gap";

/// Marks an account if NATS has taken back writes that its state vouches for. `standing`: everything at or below this
/// sequence is still in the store; nullopt: nothing is known to be. False: the state stays as it was.
bool mark_taken_back(kv::repo_state& s, std::optional<std::uint64_t> standing);

/// Marks an account whose events may be missing because the source had a gap. `every_account`: accounts are repaired
/// that are not followed, too; the others are not marked. False: the account stays as it was.
bool mark_source_gap(account& a, bool every_account);

/// One of the two reasons has not been dealt with yet.
bool marked_by_loss(const kv::repo_state& s);
/// Nothing but a gap of the source puts the account into question: it is enough to ask its PDS for its newest rev.
bool only_source_gap(const kv::repo_state& s);

}  // namespace recordkv::stages
