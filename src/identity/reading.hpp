// What the answer to a request for a DID document means.
//
// Owns: which answers end a look-up, and which are failures after which it is tried again.
// Does not know: requests and their pace. Pure.
#pragma once

#include "recordkv/http/client.hpp"
#include "recordkv/identity/resolver.hpp"

#include <optional>

namespace recordkv::identity {

struct reading {
  std::string_view outcome;                            ///< the word of the counter identity_requests
  std::optional<result<account_identity>> answer;      ///< absent: a failure, told by the two below
  error failure{errc::unreachable, {}};                ///< unreachable or timed_out
  std::optional<std::chrono::milliseconds> stay_away;  ///< what the host asked for, a minute at most
};

/// `directory`: the host answers for many DIDs. If it sends something other than a document of this one, it has
/// failed. A did:web host speaks for its own DID only: what it sends is the answer.
reading read_answer(std::string_view did, const result<http::answer>& said, bool directory, bool allow_http);

}  // namespace recordkv::identity
