// A batch of changes into a build, together with its position.
//
// Owns: the one transaction with few round trips; which record is at fault if PostgreSQL refuses a batch; when a lost
// COMMIT counts as done. Does not know: the statements, and the order of calls.
#pragma once

#include "postgres/pool.hpp"

#include "recordkv/view/store.hpp"

#include <cstdint>
#include <vector>

namespace recordkv::view::postgres {

/// store::apply() and store::retry(). The session is used by nothing else until they return.
task<result<store::applied>> apply(session& s, suspects& unanswered, const plan& p, std::uint64_t number,
                                   const std::vector<change>& changes, const position& previous, const position& next);
task<result<std::uint64_t>> retry(session& s, const plan& p, const std::vector<change>& changes);

}  // namespace recordkv::view::postgres
