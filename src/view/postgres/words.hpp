// What PostgreSQL's refusals mean to a person, and to the store.
//
// Owns: the list of SQLSTATEs that we have something to say about.
// Refuses to know: libpq, what was tried.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::view::postgres {

/// "REASON; REMEDY". It holds "locked" where another program holds a lock, "full" where the disk is (store.hpp).
std::string explained(std::string_view state, std::string_view reason);

/// True when the record itself is to blame: a value that PostgreSQL can't hold, a constraint, a hook's RAISE. Another
/// record may pass where this one does not. A hook that can't run at all (a table that isn't there) is no such case.
bool blames_record(std::string_view state) noexcept;

}  // namespace recordkv::view::postgres
