#include "view_keeper.hpp"

#include "recordkv/core/figures_text.hpp"
#include "stages.hpp"
#include "while_starting.hpp"

#include <algorithm>

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;

void add(nats::pull_consumer::intake& sum, const nats::pull_consumer::intake& more) {
  sum.messages += more.messages;
  sum.bytes += more.bytes;
  sum.time_ns = std::max(sum.time_ns, more.time_ns);
}

}  // namespace

view_keeper::view_keeper(stage_context& ctx, view::plan plan, kv::claim share, view::store& rows)
    : plan_(std::move(plan)),
      hash_(plan_.hash()),
      database_(quotable(view::name_for_others(ctx.cfg.database()))),
      part_(ctx, plan_.name, std::move(share), rows, [this] { return report(); }),
      shown_(ctx.board, part_.shown, [this] { refresh(); }) {}

task<result<void>> view_keeper::run() {
  auto mine = co_await while_starting(
      part_.ctx, "index", [this] { return part_.owner.acquire(); }, [this] { return part_.closing; });
  if (!mine) co_return mine;
  nursery beside(co_await asio::this_coro::executor);
  part_.owner.start(beside, [this] { close(); });
  beside.spawn(watch());
  beside.spawn(watch_wishes());
  auto done = co_await keep();
  part_.shown.running = false;
  ended_ = true;
  part_.pause.notify();
  co_await part_.owner.release();
  co_await beside.join();
  if (part_.owner.lost()) co_return fail(errc::not_owner, "view {}: another process has taken over", plan_.name);
  co_return done;
}

void view_keeper::close() noexcept {
  part_.closing = true;
  part_.owner.abandon();
  if (live_) live_->close();
  if (next_) next_->close();
  part_.pause.notify();
}

void view_keeper::note_database(const view::upkeep& u) {
  part_.database_warning = u.warning;
  part_.shown.database = database_figures{u.database, u.wal_bytes, u.oldest_transaction};
}

// As often as the builds change: look which there are, and fold them until they change again.
task<result<void>> view_keeper::keep() {
  while (!part_.closing) {
    auto done = co_await choose();
    if (done) done = co_await remove_left_consumers();
    if (part_.closing) break;  // whoever closed us met no build
    if (done) {
      part_.shown.running = true;
      done = co_await fold_both();
    }
    if (done || part_.closing) continue;
    // Before anything has been read, permissions are a mistake of the start.
    const bool still_starting = std::chrono::steady_clock::now() < part_.ctx.start_until;
    if (part_.reads ? passes(done.error()) : (chosen_before_ || still_starting) && unanswered(done.error())) {
      log::warn("index", "{}", done.error().text);
      co_await part_.pause.wait_for(1s);
    } else if (done.error().code != errc::conflict && done.error().code != errc::closed) {
      co_return done;
    } else {
      co_await part_.pause.wait_for(50ms);  // whatever conflicts again and again must not take the loop for itself
    }
  }
  co_return result<void>{};
}

std::string view_keeper::why_next(const history& now, const view::builds& there) const {
  if (!there.live) return "it is new";
  if (there.live->at.created.empty()) return "it was never built";
  if (!now.holds(there.live->at)) return "the store was recreated, restored or cut back since";
  if (there.live->hash != hash_) return "its definition has changed";
  if (there.rebuild_wanted) return "it was asked for";
  return "";
}

task<result<void>> view_keeper::choose() {
  // The builds first, the store after: who shares the view with us moves its position meanwhile, and must not seem to
  // be ahead of the store.
  auto there = co_await part_.patiently([&] { return part_.rows.look(plan_.name); }, chosen_before_);
  if (!there) co_return there.error();
  auto now = co_await part_.read_history();
  if (!now) co_return now.error();
  if (moved_by_another(live_, there->live) || moved_by_another(next_, there->next))
    co_return fail(errc::not_owner, "view {}: another process moved its position in {}", plan_.name,
                   view::without_password(part_.ctx.cfg.database()));
  for (auto* f : {&live_, &next_}) {
    if (*f) add(before_, (*f)->inbox().taken());
    f->reset();
  }
  if (superseded(*there))
    co_return fail(
        errc::mismatch,
        "view {}: another process has brought in another definition of it; restart this one with that file ({})",
        plan_.name, plan_.file);
  const auto why = why_next(*now, *there);
  const bool resumes =
      there->next && there->next->hash == hash_ && now->holds(there->next->at) && !there->rebuild_wanted;
  if (!resumes && !why.empty()) {
    if (why.starts_with("the store"))
      log::warn("index", "view {}: {}; rebuilding from its first key", plan_.name, why);
    else
      log::info("index", "view {}: {}; building from the store's first key", plan_.name, why);
    if (auto begun = co_await begin_next(*now, *there); !begun) co_return begun;
    there = co_await part_.patiently([&] { return part_.rows.look(plan_.name); }, chosen_before_);
    if (!there) co_return there.error();
    now = co_await part_.read_history();
    if (!now) co_return now.error();
  } else if (there->next && !resumes) {  // of a definition that is ours no longer, while the live one is right
    auto gone =
        co_await part_.patiently([&] { return part_.rows.abandon(plan_.name, there->next->number); }, chosen_before_);
    if (!gone) co_return gone;
    there->next.reset();
  }
  if (there->live && now->holds(there->live->at)) {
    auto by =
        there->live->hash == hash_ ? result<view::plan>(plan_) : view::plan_from_definition(there->live->definition);
    if (by && by->hash() != there->live->hash) by = fail(errc::mismatch, "another version of recordkv made them");
    if (by)
      live_ = fold_of(std::move(*by), *there->live);
    else
      log::warn("index", "view {}: its rows stay as they are until the next build: {}", plan_.name, by.error().text);
  }
  live_number_ = there->live ? there->live->number : 0;
  if (there->next) next_ = fold_of(plan_, *there->next);
  chosen_before_ = true;
  co_return result<void>{};
}

// A process that runs is not told by another one what its definition is.
bool view_keeper::superseded(const view::builds& there) const {
  return chosen_before_ && there.live && there.live->number != live_number_ && there.live->number != brought_in_ &&
         there.live->hash != hash_;
}

// What we folded stands where we left it, or somebody else writes there.
bool view_keeper::moved_by_another(const std::unique_ptr<build_fold>& f, const std::optional<view::build>& b) const {
  if (!f || !b || b->number != f->of().number || b->at.created != f->of().at.created) return false;
  return std::ranges::any_of(part_.labels, [&](const auto& l) {
    const auto ours = f->of().at.seq.find(l), theirs = b->at.seq.find(l);
    // A database may have been set back by a crash; ahead of us only somebody else can have brought it.
    return (theirs == b->at.seq.end() ? 0 : theirs->second) > (ours == f->of().at.seq.end() ? 0 : ours->second);
  });
}

task<result<void>> view_keeper::begin_next(const history& now, const view::builds& there) {
  const view::position start{.created = now.created, .generation = now.generation};
  // In bulk only one process can load, and hooks want to see every row come.
  const std::uint64_t bulk_until = part_.share.share->all() && !plan_.has_hooks() ? now.last_seq : 0;
  const std::uint64_t expected = there.next ? there.next->number : 0;
  auto begun =
      co_await part_.patiently([&] { return part_.rows.begin(plan_, start, bulk_until, expected); }, chosen_before_);
  if (!begun && begun.error().code != errc::conflict) co_return begun.error();  // else another was faster
  co_return result<void>{};
}

std::unique_ptr<build_fold> view_keeper::fold_of(view::plan p, view::build b) {
  std::function<task<>()> stop;
  if (!b.live && live_ && part_.share.share->all()) stop = [this] { return stop_live(); };
  return std::make_unique<build_fold>(part_, std::move(p), std::move(b), std::move(stop));
}

task<result<void>> view_keeper::fold_both() {
  if (!live_ && !next_) co_return fail(errc::conflict, "view {}: there is nothing to fold", plan_.name);
  live_stops_ = false;
  running_ = (live_ ? 1 : 0) + (next_ ? 1 : 0);
  nursery folds(co_await asio::this_coro::executor);
  if (live_) folds.spawn(run_one(*live_));
  if (next_) folds.spawn(run_one(*next_));
  co_await folds.join();
  if (next_ && next_->swapped()) brought_in_ = next_->of().number;
  if (folds.failure()) co_return *folds.failure();
  co_return result<void>{};
}

// When one build ends the other does, too, and it is looked again which there are; but for the live one that makes way.
task<result<void>> view_keeper::run_one(build_fold& f) {
  auto done = co_await f.run();
  --running_;
  if (&f != live_.get() || !live_stops_ || done.has_error()) {
    if (live_) live_->close();
    if (next_) next_->close();
  }
  changed_.notify();
  co_return done;
}

task<> view_keeper::stop_live() {
  live_stops_ = true;
  live_->close();
  while (running_ > 1) co_await changed_.wait();
}

// A durable of a build that is no more: nobody will take it again. Our lock is held, so nobody runs it either.
task<result<void>> view_keeper::remove_left_consumers() {
  if (auto left = co_await remove_left_durables(part_.ctx.nc, part_.stream(), part_.share); !left) co_return left;
  auto names = co_await nats::consumer_names(part_.ctx.nc, part_.stream());
  if (!names) co_return names.error();
  const auto ours = part_.share.base + "-";
  const auto suffix = part_.share.share->suffix();
  for (const auto& n : *names) {
    const bool of_a_build = n.starts_with(ours) && n.ends_with(suffix) &&
                            n.size() == ours.size() + 16 + suffix.size() &&
                            n.find_first_not_of("0123456789abcdef", ours.size()) >= ours.size() + 16;
    if (!of_a_build || (next_ && n == build_fold::durable_of(part_, next_->of()))) continue;
    auto gone = co_await nats::api(part_.ctx.nc, fmt::format("CONSUMER.DELETE.{}.{}", part_.stream(), n));
    if (!gone && gone.error().code != errc::not_found) co_return gone.error();
  }
  co_return result<void>{};
}

// What moves, and what does not, is looked at beside the work: a transaction may wait for a lock for seconds.
task<> view_keeper::watch() {
  while (!ended_) {
    co_await part_.pause.wait_for(500ms);
    part_.note_health(live_ && !live_->why_not_moving().empty() ? live_->why_not_moving()
                      : next_                                   ? next_->why_not_moving()
                                                                : "");
  }
}

// A wish for a rebuild, or a build that another process of this view has begun.
task<> view_keeper::watch_wishes() {
  while (!ended_) {
    co_await part_.pause.wait_for(1s);
    if (ended_ || part_.closing || running_ == 0 || next_) continue;
    auto there = co_await part_.rows.look(plan_.name);
    if (!there || ended_ || running_ == 0 || next_) continue;
    if (there->rebuild_wanted || (there->next && there->next->hash == hash_))
      if (live_) live_->close();
  }
}

void view_keeper::refresh() {
  auto sum = before_;
  for (const auto* f : {live_.get(), next_.get()})
    if (f != nullptr) add(sum, f->inbox().taken());
  part_.shown.events = sum.messages;
  part_.shown.bytes = sum.bytes;
  const auto* const shown = live_ ? live_.get() : next_.get();
  part_.shown.lag_messages = shown ? shown->inbox().pending() : 0;
  part_.shown.lag_seconds = shown ? shown->inbox().lag_seconds() : 0;
  part_.shown.in_flight = shown ? shown->in_flight() : 0;
  part_.shown.oldest_unsettled_seconds = shown ? shown->oldest_seconds() : 0;
}

std::string view_keeper::report() {
  refresh();
  std::string building;
  if (next_)
    building = fmt::format(R"("building":{{"number":{},"position":{},"goal":{},"indexed":{}}},)", next_->of().number,
                           next_->lowest(), next_->goal(), next_->of().bulk_until == 0);
  return fmt::format(R"({{"stage":"index","view":"{}","database":"{}","position":{},"rows":{},{}{}}})", plan_.name,
                     database_, live_ ? live_->lowest() : 0, part_.shown.counted.value("rows"), building,
                     members_of(part_.shown));
}

}  // namespace recordkv::stages
