// What PostgreSQL's refusals mean to the program and to a person. The SQLSTATE decides: the text may be in any
// language.
//
// Owns: the table of the SQLSTATEs that we know, with code, explanation and remedy.
// Does not know: libpq, and what was tried.
#pragma once

#include "recordkv/core/result.hpp"

#include <string>
#include <string_view>

namespace recordkv::view::postgres {

/// What a refused statement means: errc::locked, no_space, unavailable, or storage for anything else.
errc code_of(std::string_view state) noexcept;

/// What a refused connection means. Only a wrong user, password or database is errc::storage: waiting does not mend it.
errc code_of_dial(std::string_view state) noexcept;

/// "REASON; REMEDY".
std::string explained(std::string_view state, std::string_view reason);

/// True when the record itself is at fault: a value that PostgreSQL cannot hold, a constraint, a hook's RAISE.
/// Another record may pass. A hook that cannot run at all, because its table is missing, is no such case.
bool blames_record(std::string_view state) noexcept;

}  // namespace recordkv::view::postgres
