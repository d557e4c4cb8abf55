#include "recordkv/stage/lifecycle.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/part_stats_text.hpp"

#include <algorithm>

namespace recordkv::stages {
namespace {

std::string part_name(const std::string& stage, const std::optional<kv::lease_spec>& what) {
  return what ? what->key() : stage;
}

}  // namespace

lifecycle::lifecycle(const stage_context& outer, std::string stage, std::optional<kv::lease_spec> what,
                     part_hooks hooks)
    : stats_{.stage = stage, .part = part_name(stage, what)},
      ctx_(outer.counting_in(stats_.counted)),
      hooks_(std::move(hooks)),
      shown_(what ? outer.board : nullptr, stats_, [this] { refresh(); }) {
  if (what) lease_.emplace(outer.nc, std::move(*what), [this] { return report(); });
}

task<result<void>> lifecycle::while_starting(std::function<task<result<void>>()> attempt) {
  constexpr std::chrono::milliseconds pause{300};
  event never;
  for (;;) {
    auto done = co_await attempt();
    if (done || !unanswered(done.error()) || closing_ || lost()) co_return done;
    if (std::chrono::steady_clock::now() > ctx_.start_until) co_return done;
    log::warn(stats_.stage, "{}; trying again", done.error().text);
    co_await never.wait_for(pause);
  }
}

void lifecycle::start_again() {
  ctx_.start_until = std::max(ctx_.start_until, std::chrono::steady_clock::now() + ctx_.cfg.nats.start_timeout);
}

task<result<void>> lifecycle::acquire(std::function<task<result<void>>()> open, kv::lease::wait_policy policy) {
  co_return co_await while_starting([this, &open, policy] { return open_and_acquire(open, policy); });
}

task<result<void>> lifecycle::open_and_acquire(const std::function<task<result<void>>()>& open,
                                               kv::lease::wait_policy policy) {
  if (open)
    if (auto opened = co_await open(); !opened) co_return opened;
  if (!lease_) co_return result<void>{};
  co_return co_await lease_->acquire(policy);
}

task<> lifecycle::start() {
  renewal_.emplace(co_await asio::this_coro::executor);
  if (lease_) lease_->start(*renewal_, hooks_.stop);
}

task<> lifecycle::release() {
  stats_.running = false;
  if (lease_) co_await lease_->release();
  if (renewal_) co_await renewal_->join();
  renewal_.reset();
}

task<result<void>> lifecycle::run(std::function<task<result<void>>(nursery& children)> work, std::string taken_over) {
  nursery children(co_await asio::this_coro::executor);
  co_await start();
  auto done = co_await work(children);
  co_await release();
  co_await children.join();
  if (lost()) co_return fail(errc::lease_lost, "{}", taken_over);
  if (done.has_error() && done.error().code == errc::closed) co_return result<void>{};
  co_return done;
}

void lifecycle::close() noexcept {
  closing_ = true;
  if (lease_) lease_->abandon();
}

void lifecycle::note_health(const stall_reason& own) {
  const auto now = std::chrono::system_clock::now();
  if (!ctx_.nc.up())
    stats_.health.bad(cause::nats_down, "no connection to NATS: " + ctx_.nc.last_error(), now);
  else if (auto denied = ctx_.nc.denied(); !denied.empty())
    stats_.health.bad(cause::nats_denied, std::move(denied), now);
  else if (!own.text.empty())
    stats_.health.bad(own.what, own.text, now);
  else
    stats_.health.good();
}

task<result<void>> lifecycle::renew_if_stale() {
  co_return lease_ ? co_await lease_->renew_if_stale() : result<void>{};
}

void lifecycle::refresh() const {
  if (hooks_.refresh) hooks_.refresh();
}

boost::json::object lifecycle::report() {
  refresh();
  boost::json::object out{{"stage", stats_.stage}};
  if (hooks_.describe) hooks_.describe(out);
  add_report(out, stats_);
  return out;
}

}  // namespace recordkv::stages
