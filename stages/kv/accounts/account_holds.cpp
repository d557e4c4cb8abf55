#include "account_holds.hpp"

namespace recordkv::stages {

task<account*> account_holds::pin(std::string did, nursery& into) {
  while (!closed_ && !accounts_.contains(did)) {
    loads_.want(did);
    loads_.start(into);
    if (!accounts_.contains(did)) co_await moved_.wait();
  }
  if (closed_) co_return nullptr;
  auto& a = accounts_.use(did);
  ++a.pins;
  co_return &a;
}

// An event of the account that is chosen, or waits for a key, is applied first. choose() takes no further one.
task<bool> account_holds::hold(account& a) {
  const auto did = a.newest.did;
  a.held = account::hold::wanted;
  while (!closed_ && a.held == account::hold::wanted) {
    if (a.chosen == 0 && !a.put_back && !order_.holds(did)) {
      order_.hold_account(did);
      a.held = account::hold::held;
      break;
    }
    co_await moved_.wait();
  }
  if (a.in_flight > 0) settles_.hurry();
  while (!closed_ && a.in_flight > 0) co_await settles_.progress().wait();
  co_return !closed_;
}

void account_holds::let_go(account& a) {
  if (a.held == account::hold::held) order_.release(a.newest.did);
  a.held = account::hold::none;
  released_();
}

void account_holds::close() noexcept {
  closed_ = true;
  moved_.notify();
  settles_.progress().notify();
}

}  // namespace recordkv::stages
