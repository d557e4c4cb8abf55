// Over 300 lines: which builds there should be follows from one reading of the database, and each wait may change it.
#include "view_supervisor.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;

constexpr auto retry_pause = 1s;       // while NATS or the database does not answer
constexpr auto conflict_pause = 50ms;  // a conflict that repeats must not take the whole loop
constexpr auto health_check = 500ms;   // how soon `status` and alerts see a stall
constexpr auto request_check = 1s;     // requests stand in the database, which sends no event
constexpr int generation_check = 5;    // in rounds of request_check: it changes after a crash of NATS alone

void add(nats::pull_consumer::intake& sum, const nats::pull_consumer::intake& more) {
  sum.messages += more.messages;
  sum.bytes += more.bytes;
  sum.time_ns = std::max(sum.time_ns, more.time_ns);
}

}  // namespace

view_supervisor::view_supervisor(stage_context& ctx, view::plan plan, kv::lease_spec spec, view::store& rows)
    : plan_(std::move(plan)),
      hash_(plan_.hash()),
      database_(view::name_for_others(ctx.cfg.database())),
      context_(ctx, plan_.name, std::move(spec), rows,
               {.refresh = [this] { refresh(); },
                .describe = [this](boost::json::object& report) { describe(report); },
                .stop = [this] { close(); }}) {}

task<result<void>> view_supervisor::run() {
  if (auto mine = co_await context_.life.acquire(); !mine) co_return mine;
  co_return co_await context_.life.run([this](nursery& children) { return work(children); },
                                       fmt::format("view {}: another process has taken over", plan_.name));
}

task<result<void>> view_supervisor::work(nursery& children) {
  children.spawn(watch());
  children.spawn(watch_requests());
  auto done = co_await supervise();
  ended_ = true;
  context_.pause.notify();
  co_return done;
}

void view_supervisor::close() noexcept {
  context_.life.close();
  if (live_) live_->close();
  if (next_) next_->close();
  context_.pause.notify();
}

void view_supervisor::note_database(const view::upkeep& u) {
  context_.database_warning = u.warning;
  context_.shown.database = database_stats{u.database, u.wal_bytes, u.oldest_transaction};
}

// Chooses the builds and projects them until they change; then begins again.
task<result<void>> view_supervisor::supervise() {
  while (!context_.life.closing()) {
    auto done = co_await choose();
    if (done) done = co_await remove_left_consumers();
    if (context_.life.closing()) break;  // close() came before there was a build to close
    if (done) {
      context_.shown.running = true;
      done = co_await run_projectors();
    }
    if (done || context_.life.closing()) continue;
    // Before anything has been read, missing permissions are a mistake of the start.
    const bool still_starting = std::chrono::steady_clock::now() < context_.ctx.start_until;
    if (context_.reads ? passes(done.error()) : (chosen_before_ || still_starting) && unanswered(done.error())) {
      log::warn("index", "{}", done.error().text);
      co_await context_.pause.wait_for(retry_pause);
    } else if (done.error().code != errc::conflict && done.error().code != errc::closed) {
      co_return done;
    } else {
      co_await context_.pause.wait_for(conflict_pause);
    }
  }
  co_return result<void>{};
}

/// The plan that a build was made from. errc::mismatch: another version of recordkv made it.
result<view::plan> view_supervisor::plan_of(const view::build& b) const {
  auto by = b.hash == hash_ ? result<view::plan>(plan_) : view::plan_from_definition(b.definition);
  if (by && by->hash() != b.hash) by = fail(errc::mismatch, "another version of recordkv made them");
  return by;
}

/// Of a build whose definition cannot be read, the view's own.
projection::view_source view_supervisor::source_of(const view::build& b) const {
  const auto by = plan_of(b);
  return context_.source_of(by ? *by : plan_);
}

view_supervisor::next_reason view_supervisor::why_next(const history& now, const view::builds& there) const {
  if (!there.live) return next_reason::is_new;
  if (there.live->at.created.empty()) return next_reason::never_built;
  if (!now.holds(there.live->at, source_of(*there.live))) return next_reason::other_store;
  if (there.live->hash != hash_) return next_reason::other_definition;
  if (there.rebuild_wanted) return next_reason::requested;
  return next_reason::none;
}

std::string_view view_supervisor::text_of(next_reason why) noexcept {
  switch (why) {
    case next_reason::none: return "";
    case next_reason::is_new: return "it is new";
    case next_reason::never_built: return "it was never built";
    case next_reason::other_store: return "the store was recreated, restored or cut back since";
    case next_reason::other_definition: return "its definition has changed";
    case next_reason::requested: return "it was asked for";
  }
  return "";
}

task<result<void>> view_supervisor::choose() {
  // Reads the builds first and the store afterwards. Another process with partitions of this view moves its position
  // meanwhile, and that must not seem to be ahead of the store.
  auto there =
      co_await context_.retry_while_unavailable([&] { return context_.rows.look(plan_.name); }, chosen_before_);
  if (!there) co_return there.error();
  auto now = co_await context_.read_history();
  if (!now) co_return now.error();
  if (moved_by_another(live_, there->live) || moved_by_another(next_, there->next))
    co_return fail(errc::lease_lost, "view {}: another process moved its position in {}", plan_.name,
                   view::without_password(context_.ctx.cfg.database()));
  for (auto* f : {&live_, &next_}) {
    if (*f) add(before_, (*f)->inbox().taken());
    f->reset();
  }
  if (superseded(*there))
    co_return fail(
        errc::mismatch,
        "view {}: another process has swapped in another definition of it; restart this one with that file ({})",
        plan_.name, plan_.file);
  const auto why = why_next(*now, *there);
  const bool resumes = there->next && there->next->hash == hash_ &&
                       now->holds(there->next->at, source_of(*there->next)) && !there->rebuild_wanted;
  if (!resumes && why != next_reason::none) {
    if (why == next_reason::other_store)
      log::warn("index", "view {}: {}; rebuilding from its first key", plan_.name, text_of(why));
    else
      log::info("index", "view {}: {}; building from the store's first key", plan_.name, text_of(why));
    if (auto begun = co_await begin_next(*now, *there); !begun) co_return begun;
    there = co_await context_.retry_while_unavailable([&] { return context_.rows.look(plan_.name); }, chosen_before_);
    if (!there) co_return there.error();
    now = co_await context_.read_history();
    if (!now) co_return now.error();
  } else if (there->next && !resumes) {  // of an outdated definition, while the live build is right
    auto gone = co_await context_.retry_while_unavailable(
        [&] { return context_.rows.abandon(plan_.name, there->next->number); }, chosen_before_);
    if (!gone) co_return gone;
    there->next.reset();
  }
  if (there->live && now->holds(there->live->at, source_of(*there->live))) {
    if (auto by = plan_of(*there->live))
      live_ = projector_of(std::move(*by), *there->live);
    else
      log::warn("index", "view {}: its rows stay as they are until the next build: {}", plan_.name, by.error().text);
  }
  live_number_ = there->live ? there->live->number : 0;
  if (there->next) next_ = projector_of(plan_, *there->next);
  chosen_before_ = true;
  co_return result<void>{};
}

// A running process does not take over a definition from another one.
bool view_supervisor::superseded(const view::builds& there) const {
  return chosen_before_ && there.live && there.live->number != live_number_ && there.live->number != brought_in_ &&
         there.live->hash != hash_;
}

// True if the position in the database is ahead of this process's projector: another process writes there.
bool view_supervisor::moved_by_another(const std::unique_ptr<build_projector>& f,
                                       const std::optional<view::build>& b) const {
  if (!f || !b || b->number != f->of().number || b->at.created != f->of().at.created) return false;
  return std::ranges::any_of(context_.labels, [&](const auto& l) {
    const auto own = f->of().at.seq.find(l), stored = b->at.seq.find(l);
    // A crash may have set the database back. Only another process can have moved it ahead.
    return (stored == b->at.seq.end() ? 0 : stored->second) > (own == f->of().at.seq.end() ? 0 : own->second);
  });
}

task<result<void>> view_supervisor::begin_next(const history& now, const view::builds& there) {
  // Only one process can load in bulk, and hooks need to see every row arrive.
  const std::uint64_t bulk_until =
      context_.spec.assigned->all() && !plan_.has_hooks() ? now.end_of(context_.source_of(plan_)) : 0;
  const std::uint64_t expected = there.next ? there.next->number : 0;
  auto begun = co_await context_.retry_while_unavailable(
      [&] { return context_.rows.begin(plan_, now.start(), bulk_until, expected); }, chosen_before_);
  if (!begun && begun.error().code != errc::conflict) co_return begun.error();  // otherwise another process was faster
  co_return result<void>{};
}

std::unique_ptr<build_projector> view_supervisor::projector_of(view::plan p, view::build b) {
  std::function<task<>()> stop;
  if (!b.live && live_ && context_.spec.assigned->all()) stop = [this] { return stop_live(); };
  return std::make_unique<build_projector>(context_, std::move(p), std::move(b), std::move(stop));
}

task<result<void>> view_supervisor::run_projectors() {
  if (!live_ && !next_) co_return fail(errc::conflict, "view {}: there is nothing to fold", plan_.name);
  live_stops_ = false;
  running_ = (live_ ? 1 : 0) + (next_ ? 1 : 0);
  nursery projectors(co_await asio::this_coro::executor);
  if (live_) projectors.spawn(run_one(*live_));
  if (next_) projectors.spawn(run_one(*next_));
  co_await projectors.join();
  if (next_ && next_->swapped()) brought_in_ = next_->of().number;
  if (projectors.failure()) co_return *projectors.failure();
  co_return result<void>{};
}

// When one build ends, the other is closed too, and the builds are chosen again. A live build that was stopped for the
// swap is the exception.
task<result<void>> view_supervisor::run_one(build_projector& f) {
  auto done = co_await f.run();
  --running_;
  if (&f != live_.get() || !live_stops_ || done.has_error()) {
    if (live_) live_->close();
    if (next_) next_->close();
  }
  changed_.notify();
  co_return done;
}

task<> view_supervisor::stop_live() {
  live_stops_ = true;
  live_->close();
  while (running_ > 1) co_await changed_.wait();
}

// A definition may have changed what the view has rows of. Then the durables on the older stream go as well.
task<result<void>> view_supervisor::remove_left_consumers() {
  streams_.insert(context_.source_of(plan_).stream());
  if (live_) streams_.insert(live_->source().stream());
  for (const auto& stream : streams_) {
    std::vector<std::string> used;
    if (!live_) used.push_back(context_.spec.key());
    for (const auto* f : {live_.get(), next_.get()})
      if (f && f->source().stream() == stream) used.push_back(build_projector::durable_of(context_, f->of()));
    if (auto removed = co_await context_.remove_left_consumers(stream, std::move(used)); !removed) co_return removed;
  }
  co_return result<void>{};
}

// A loop of its own, because a transaction may wait for a lock for seconds.
task<> view_supervisor::watch() {
  while (!ended_) {
    co_await context_.pause.wait_for(health_check);
    context_.note_health(live_ && !live_->stall_reason().empty() ? live_->stall_reason()
                         : next_                                 ? next_->stall_reason()
                                                                 : "");
  }
}

// Looks for a request to rebuild, or for a next build of another process with this view.
task<> view_supervisor::watch_requests() {
  for (int round = 1; !ended_; ++round) {
    co_await context_.pause.wait_for(request_check);
    if (round % generation_check == 0) co_await look_at_generation();
    if (ended_ || context_.life.closing() || running_ == 0 || next_) continue;
    auto there = co_await context_.rows.look(plan_.name);
    if (!there || ended_ || running_ == 0 || next_) continue;
    if (there->rebuild_wanted || (there->next && there->next->hash == hash_))
      if (live_) live_->close();
  }
}

// X20: stage kv raises the generation once it has noticed that NATS took writes back. A build may have looked at the
// store before that.
task<> view_supervisor::look_at_generation() {
  if (ended_ || running_ == 0) co_return;
  const auto now = co_await kv::read_meta(context_.ctx.nc, context_.ctx.names());
  if (!now || ended_ || running_ == 0) co_return;
  for (auto* f : {live_.get(), next_.get()})
    if (f != nullptr && f->of().at.generation != now->generation) f->close();
}

void view_supervisor::refresh() {
  auto sum = before_;
  for (const auto* f : {live_.get(), next_.get()})
    if (f != nullptr) add(sum, f->inbox().taken());
  context_.shown.events = sum.messages;
  context_.shown.bytes = sum.bytes;
  const auto* const shown = live_ ? live_.get() : next_.get();
  context_.shown.lag_messages = shown ? shown->inbox().pending() : 0;
  context_.shown.lag_seconds = shown ? shown->inbox().lag_seconds() : 0;
  context_.shown.in_flight = shown ? shown->in_flight() : 0;
  context_.shown.oldest_unsettled_seconds = shown ? shown->oldest_seconds() : 0;
}

void view_supervisor::describe(boost::json::object& report) const {
  report["view"] = plan_.name;
  report["database"] = database_;
  report["stream"] = live_ ? live_->source().stream() : context_.source_of(plan_).stream();
  report["position"] = live_ ? live_->lowest() : 0;
  report["rows"] = context_.shown.counted.value("rows");
  if (next_)
    report["building"] = boost::json::object{{"number", next_->of().number},
                                             {"position", next_->lowest()},
                                             {"goal", next_->goal()},
                                             {"indexed", next_->of().bulk_until == 0}};
}

}  // namespace recordkv::stages
