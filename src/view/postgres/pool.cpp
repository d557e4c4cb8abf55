#include "postgres/pool.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/view/store.hpp"

#include <algorithm>

namespace recordkv::view::postgres {

async_mutex::pass::~pass() {
  if (of_ == nullptr) return;
  ++of_->serving_;
  of_->moved_.notify();
}

task<async_mutex::pass> async_mutex::enter() {
  const auto mine = next_++;
  while (serving_ != mine) co_await moved_.wait();
  co_return pass(*this);
}

pool::pool(asio::io_context& io, std::string url, std::chrono::milliseconds patience)
    : io_(io), url_(std::move(url)), shown_(without_password(url_)), patience_(patience), closer_(io) {}

/// A view keeps its place in the queue if a call gives up, so that many other views cannot keep it out for good.
task<result<pool::loan>> pool::take(const std::string& view) {
  const auto place = places_.try_emplace(view, next_place_).first->second;
  if (place == next_place_) ++next_place_;
  waiting_.insert(place);
  auto got = co_await wait_for_one(place);
  waiting_.erase(place);
  if (got) places_.erase(view);
  moved_.notify();
  co_return got;
}

task<result<pool::loan>> pool::wait_for_one(std::uint64_t place) {
  const auto since = clock::now();
  const auto until = since + max_wait;
  for (;;) {
    if (slots_.empty() && refused_ && refused_at_ >= since) co_return refusal();
    slot* const mine = *waiting_.begin() != place ? nullptr : idle_one() ? idle_one() : new_one(since);
    if (mine == nullptr) {
      // If a connection is being opened, its result is awaited: the reason of its failure says more.
      if (clock::now() >= until && connecting_ == 0) co_return none_free();
      co_await moved_.wait_for(grows_after);
      continue;
    }
    waiting_.erase(place);  // while it connects, the next in the queue may be served
    auto ready = co_await connect(*mine);
    if (ready) co_return loan(*this, *mine);
    if (mine->on.db.connected()) {  // the server answers, and refuses the table
      give_back(*mine);
      co_return ready.error();
    }
    remove(*mine);
    refuse(ready.error());
    waiting_.insert(place);
  }
}

task<result<void>> pool::connect(slot& s) {
  s.busy = true;
  const auto dials = s.on.db.dials();
  ++connecting_;
  auto ready = co_await s.on.ready();
  --connecting_;
  if (s.on.db.dials() != dials) {
    s.made = clock::now();
    if (ready) refused_.reset();
  }
  co_return ready;
}

/// While the process has other connections, a refusal is not an error. A line is logged.
void pool::refuse(error why) {
  const auto now = clock::now();
  refused_ = std::move(why);
  refused_at_ = now;
  grows_from_ = now + asks_again_after;
  moved_.notify();
  if (slots_.empty() || (told_at_ && now - *told_at_ < tells_every)) return;
  told_at_ = now;
  log::warn("index", "{}; the views share {} connections for now", refusal().text, slots_.size());
}

pool::slot* pool::idle_one() {
  const auto free = std::ranges::find_if(slots_.rbegin(), slots_.rend(), [](const auto& s) { return !s->busy; });
  return free == slots_.rend() ? nullptr : free->get();
}

pool::slot* pool::new_one(clock::time_point waits_since) {
  const auto now = clock::now();
  const bool wanted = connecting_ == 0 && now >= grows_from_ && now - waits_since >= grows_after;
  if (!slots_.empty() && (!wanted || slots_.size() >= max_connections)) return nullptr;
  slots_.push_back(std::make_unique<slot>(io_, url_, patience_));
  return slots_.back().get();
}

void pool::give_back(slot& s) noexcept {
  const auto now = clock::now();
  s.busy = false;
  s.used = now;
  const bool old = slots_.size() > 1 && now - s.made >= max_age;
  if (old) grows_from_ = std::max(grows_from_, now + yields_for);
  if (old || !s.on.db.connected()) {
    remove(s);
  } else {
    const auto at = std::ranges::find(slots_, &s, &std::unique_ptr<slot>::get);
    std::rotate(at, at + 1, slots_.end());
  }
  if (slots_.size() > 1) close_idle_later();
  moved_.notify();
}

void pool::remove(const slot& s) noexcept {
  std::erase_if(slots_, [&](const auto& one) { return one.get() == &s; });
}

void pool::close_idle_later() {
  if (std::exchange(closer_runs_, true)) return;
  closer_.expires_after(max_idle);
  closer_.async_wait([me = weak_from_this()](boost::system::error_code ec) {
    const auto p = me.lock();
    if (!p || ec) return;
    p->closer_runs_ = false;
    p->close_idle();
  });
}

/// The connection that was used last stays.
void pool::close_idle() {
  const auto now = clock::now();
  for (std::size_t i = 0; i + 1 < slots_.size();)
    if (!slots_[i]->busy && now - slots_[i]->used >= max_idle)
      slots_.erase(slots_.begin() + static_cast<std::ptrdiff_t>(i));
    else
      ++i;
  if (slots_.size() > 1) close_idle_later();
}

error pool::refusal() const {
  return fail(refused_->code, "{}; this process needs one connection, and uses up to {} for its views", refused_->text,
              std::min(turns_.size(), max_connections));
}

error pool::none_free() const {
  if (refused_) {
    auto why = refusal();
    why.text += fmt::format("; it has {}, and all are in use", slots_.size());
    return why;
  }
  return fail(errc::unavailable, "database {}: cannot connect once more: all {} connections of this process are in use",
              shown_, slots_.size());
}

}  // namespace recordkv::view::postgres
