#include "state_loads.hpp"

#include "recordkv/core/log.hpp"

#include <utility>

namespace recordkv::stages {
namespace {

// Between two attempts to read states, while NATS does not answer or a state can't be read.
constexpr std::chrono::milliseconds retry_pause{500};

}  // namespace

void state_loads::start(nursery& into) {
  if (!wanted_.empty()) into.spawn(load(std::exchange(wanted_, {})));
}

// An account whose state can't be read stays held. It delays no other account, as long as its events stay within the
// limits.
task<> state_loads::load(std::vector<std::string> dids) {
  bool failed = false;
  while (!abandoned_ && !dids.empty()) {
    auto found = co_await load_(dids);
    if (abandoned_) co_return;
    dids = keep(dids, std::move(found));
    if (const bool fails = !dids.empty(); fails != failed) {
      failed = fails;
      failed_ += fails ? 1 : -1;
    }
    if (failed) co_await abandoning_.wait_for(retry_pause);
  }
}

// Returns the accounts that are to be read again.
std::vector<std::string> state_loads::keep(const std::vector<std::string>& dids,
                                           std::vector<result<state_port::stored>> found) {
  std::vector<std::string> again;
  // loaded_() puts an account's events at the front of account_order. The loop goes backwards, so that the first
  // account's events end up first.
  for (std::size_t i = dids.size(); i-- > 0;) {
    if (!found[i]) {
      error_ = found[i].error().text;
      again.push_back(dids[i]);
      continue;
    }
    accounts_.add(dids[i], std::move(*found[i]));
    open_.erase(dids[i]);
    loaded_(dids[i]);
  }
  if (const auto n = again.empty() ? 0 : told_.count("states", rate_limited::clock::now()))
    log::warn("kv", "reading account states: {}; {} failed attempt{} since the last line", error_, n,
              n == 1 ? "" : "s");
  return again;
}

}  // namespace recordkv::stages
