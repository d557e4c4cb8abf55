// A chunk of events on its way to the applier, and the check of its signatures on other threads.
//
// Owns: which events of a chunk are checked, the division of a chunk into jobs.
// Does not know: what follows from a verdict (pipeline.hpp), and the check itself (atproto/verify.hpp).
#pragma once

#include "accounts/account_cache.hpp"
#include "accounts/kv_event.hpp"
#include "accounts/worker_pool.hpp"

#include <functional>
#include <optional>
#include <vector>

namespace recordkv::stages {

/// atproto::verify. Pure, and safe on any thread.
using verify_function = std::function<atproto::verdict(const atproto::repo_event& e, const atproto::public_key& key)>;

/// An event that was taken from account_order, and will be applied, put back or dropped.
struct chosen_event {
  kv_event e;
  account* of = nullptr;                   ///< null: the event has no account
  std::optional<atproto::public_key> key;  ///< for the check of the signature; empty: no check
  bool moved = false;                      ///< `e` is gone: it was applied, put back or dropped
};

/// Sets kv_event::worth of each event that has a key. Returns at once if none has.
task<> check_signatures(worker_pool& pool, const verify_function& verify, std::vector<chosen_event>& chunk);

}  // namespace recordkv::stages
