// The states of a store's accounts, one after the other, and the accounts of a handle.
//
// Owns: reading all states of bucket `repo`, and the search by handle.
// Does not know: what is done with a state.
#pragma once

#include "commands.hpp"
#include "recordkv/kv/repo_state.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::cli {

/// What becomes of the states of a store, one by one.
struct state_visitor {
  std::function<void(const kv::repo_state& state, std::string_view stored)> take;
  std::function<void(const std::string& did, const error& why)> unreadable;
  std::function<bool()> enough;  ///< true: no further one is wanted
};

/// Keeps only which accounts it has seen. An account is shown again if its state is written meanwhile: the first
/// showing counts. errc::not_found: there is no bucket of states.
task<result<void>> visit_states(session s, state_visitor to, bool with_progress);

inline constexpr std::size_t max_of_handle = 10;

/// The accounts whose DID documents name a handle, max_of_handle at most. Any number may: the documents are not checked
/// against the handle.
task<result<std::vector<std::string>>> accounts_of_handle(session s, std::string handle);

}  // namespace recordkv::cli
