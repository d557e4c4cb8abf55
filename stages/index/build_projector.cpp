// Over 300 lines: reading, writing and the way to the swap share one position, and each wait may change it.
#include "build_projector.hpp"

#include "recordkv/core/crash_point.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/record_key.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;

constexpr auto consumer_check = 500ms;  // asks NATS whether the consumer moves
constexpr auto end_check = 500ms;       // the end of the store moves without an event
constexpr auto swap_check = 1s;         // other processes' positions stand in the database, which sends no event

// What may gather while a transaction runs. A larger batch is slower, because its rows have left the processor's
// caches before they are written. A crash repeats one batch.
constexpr std::size_t max_changes = 8192;
constexpr std::size_t max_bytes = std::size_t{32} << 20;
// While many changes come (change_rate.hpp), a transaction gathers: until it has worthwhile_changes, or until its first
// change has waited longest_gathering.
constexpr std::size_t worthwhile_changes = 4096;
constexpr auto longest_gathering = 200ms;
// How many messages are handled before other coroutines run: some milliseconds of work. Their bytes are bounded as
// well, because in rows a record may have five hundred times its size (view::extract bounds each).
constexpr std::ptrdiff_t at_a_time = 1024;
constexpr std::size_t bytes_at_a_time = std::size_t{256} << 10;

const nats::message* some_of(const nats::message* from, const nats::message* to) {
  std::size_t bytes = 0;
  const auto* end = from;
  while (end != to && end - from < at_a_time && bytes < bytes_at_a_time) bytes += (end++)->data().size();
  return end;
}

std::size_t size_of(const view::change& c) {
  std::size_t sum = c.json.size();
  for (const auto& row : c.rows)
    for (const auto& value : row)
      sum += sizeof value + (std::holds_alternative<std::string>(value) ? std::get<std::string>(value).size() : 0);
  return sum;
}

}  // namespace

build_projector::build_projector(view_context& part, view::plan plan, view::build of, std::function<task<>()> stop_live)
    : context_(part),
      plan_(std::move(plan)),
      build_(std::move(of)),
      stop_live_(std::move(stop_live)),
      reading_(plan_, part.ctx.names(), part.ctx.cfg.kv.partitions),
      inbox_(part.ctx.nc, consumer(), part.shown.counted, part.ctx.facts.api_level, [this] { return lowest() + 1; }),
      children_(part.ctx.nc.io().get_executor()) {
  // Of the position only the assigned partitions count. The others belong to other processes and move independently.
  std::erase_if(build_.at.seq,
                [&](const auto& l) { return std::ranges::find(context_.labels, l.first) == context_.labels.end(); });
  ahead_ = build_.at;
}

std::string build_projector::durable_of(const view_context& part, const view::build& b) {
  return b.live ? part.spec.key() : fmt::format("{}-{}{}", part.spec.base, b.hash, part.spec.assigned->suffix());
}

nats::consumer_spec build_projector::consumer() {
  return {.stream = source().stream(),
          .durable = durable_of(context_, build_),
          .filters = source().subjects(plan_, context_.subject_labels()),
          // The position of a build is in the database alone. The live build acknowledges, so that NATS can show its
          // progress. For a whole store that would cost the server half of its work, so a next build does not.
          .policy = build_.live ? nats::acks::all : nats::acks::none,
          .made_anew = true,
          .still_ours = [this] { return still_ours(); },
          .edited = [this](bool suspect) { return edited(suspect); },
          .credit = 32'768,
          .max_bytes = std::size_t{32} << 20};
}

task<result<void>> build_projector::run() {
  auto done = co_await inbox_.attach();
  if (done) done = co_await still_the_same();
  context_.reads = context_.reads || done.has_value();
  if (done) {
    log::info("index", "view {}: {} build {} goes on from sequence {}", context_.name, build_.live ? "live" : "next",
              build_.number, lowest());
    children_.spawn(watch());
    if (!build_.live) children_.spawn(bring_in());
    done = co_await project();
  }
  close();
  co_await children_.join();
  if (done && children_.failure()) done = *children_.failure();
  co_return done;
}

void build_projector::close() noexcept {
  inbox_.close();
  moved_.notify();
  gathered_.notify();
  closing_.notify();
}

double build_projector::oldest_seconds() const noexcept {
  if (in_flight() == 0) return 0;
  const auto since = written_now_.messages > 0 ? written_now_.since : waiting_.since;
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

// A loop of its own, because the work may wait long for a database.
task<> build_projector::watch() {
  while (!inbox_.closed()) {
    stall_reason_ = co_await inbox_.stall_reason(5s);
    if (!inbox_.closed()) co_await closing_.wait_for(consumer_check);
  }
}

task<result<void>> build_projector::project() {
  for (;;) {
    auto batch = co_await inbox_.next();
    if (children_.failure()) co_return result<void>{};  // reported by run()
    if (!batch) co_return batch.error().code == errc::closed ? result<void>{} : result<void>{batch.error()};
    if (auto taken = co_await take(std::move(*batch)); !taken) co_return taken;
  }
}

task<result<void>> build_projector::still_ours() {
  auto mine = co_await context_.life.renew_if_stale();
  if (!mine) co_return mine;
  co_return co_await still_the_same();
}

// A server may have lost data in a crash, or may have been given another store.
task<result<void>> build_projector::still_the_same() {
  auto now = co_await context_.read_history();
  if (!now) co_return now.error();
  // Compares what has been read, not only what is committed: the rest is being written.
  if (now->holds(ahead_, source())) co_return result<void>{};
  co_return fail(errc::conflict, "view {}: this is another store", context_.name);
}

// With a narrower filter messages were skipped, and the next delivered message moved the position past them. No
// position tells which rows are missing, and only a build from the first key is exact. The request for it survives a
// kill.
task<result<void>> build_projector::edited(bool suspect) {
  if (!suspect || std::ranges::all_of(ahead_.seq, [](const auto& l) { return l.second == 0; }))
    co_return result<void>{};
  log::warn("index", "view {}: rows may be missing since; rebuilding from the store's first key", context_.name);
  auto requested =
      co_await context_.retry_while_unavailable([&] { return context_.rows.want_rebuild(context_.name); }, true);
  if (!requested || build_.live) co_return requested;  // the live build goes on serving queries
  auto gone =
      co_await nats::api(context_.ctx.nc, fmt::format("CONSUMER.DELETE.{}.{}", source().stream(), inbox_.name()));
  if (!gone && gone.error().code != errc::not_found) co_return gone.error();
  co_return fail(errc::conflict, "view {}: build {} starts again", context_.name, build_.number);
}

// A bulk load ends at a message boundary: later messages may have keys that were loaded already.
task<result<void>> build_projector::take(std::vector<nats::message> batch) {
  auto* from = batch.data();
  auto* const to = from + batch.size();
  if (build_.bulk_until != 0) {
    auto* const later = std::find_if(from, to, [&](const nats::message& m) {
      return nats::parse_delivery(m.reply())->stream_seq > build_.bulk_until;
    });
    co_await gather_all(from, later);
    from = later;
    if (later != to) {
      while (writing_ && !inbox_.closed()) co_await moved_.wait();
      bulk_passed_ = true;
      moved_.notify();
      while (build_.bulk_until != 0 && !inbox_.closed()) co_await moved_.wait();
    }
  }
  co_await gather_all(from, to);
  co_return result<void>{};
}

// A long batch would hold the loop. Between its parts other coroutines run, such as the renewal of this view's lease.
task<> build_projector::gather_all(nats::message* from, nats::message* to) {
  while (from != to && !inbox_.closed()) {
    auto* const end = from + (some_of(from, to) - from);
    co_await gather(from, end);
    from = end;
    if (from != to) co_await asio::post(asio::use_awaitable);
  }
}

task<> build_projector::gather(nats::message* from, nats::message* to) {
  while (writing_ && !inbox_.closed() && (waiting_.changes.size() >= max_changes || waiting_.bytes >= max_bytes))
    co_await moved_.wait();
  if (inbox_.closed()) co_return;
  if (!waiting_.last) waiting_.since = std::chrono::steady_clock::now();
  waiting_.messages += static_cast<std::size_t>(to - from);
  auto fresh = projection::changes_of(reading_, from, to, ahead_, context_.shown.counted);
  for (const auto& l : context_.labels) ahead_.seq[l] = std::max(ahead_.seq[l], fresh.last);
  if (build_.live)
    for (const auto* m : {from, to - 1}) waiting_.times.emplace_back(m->header_value("time"));
  for (const auto& c : fresh.changes) waiting_.bytes += size_of(c);
  rate_.add(fresh.changes.size());
  if (waiting_.changes.empty())
    waiting_.changes = std::move(fresh.changes);
  else
    std::ranges::move(fresh.changes, std::back_inserter(waiting_.changes));
  waiting_.last = std::move(*(to - 1));
  if (waiting_.changes.size() >= worthwhile_changes) gathered_.notify();
  if (!std::exchange(writing_, true)) children_.spawn(write());
}

task<result<void>> build_projector::write() {
  result<void> done;
  while (done && waiting_.last) {
    co_await gather_more();
    done = co_await write_one();
  }
  writing_ = false;
  if (!done) close();
  moved_.notify();
  co_return done;
}

// Each transaction writes every page that it has touched, and under load two neighbours touch the same pages. So while
// much arrives, a transaction waits a moment until it is worth it. If little arrives, it waits for nothing.
task<> build_projector::gather_more() {
  const auto until = waiting_.since + longest_gathering;
  while (waiting_.changes.size() < worthwhile_changes && !inbox_.closed()) {
    const auto now = std::chrono::steady_clock::now();
    const auto left = until - now;
    if (left <= 0ms || !rate_.busy(now)) break;
    co_await gathered_.wait_for(left);
  }
}

task<result<void>> build_projector::write_one() {
  const auto now = std::exchange(waiting_, {});
  written_now_ = {now.messages, now.since};
  const auto next = ahead_;
  const auto begun = std::chrono::steady_clock::now();
  auto done = co_await context_.retry_while_unavailable(
      [&] { return context_.rows.apply(plan_, build_.number, now.changes, build_.at, next); }, true);
  written_now_.messages = 0;
  if (!done) co_return done.error();
  build_.at = next;
  auto& shown = context_.shown;
  shown.transaction.observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  shown.counted.add("rows", {}, done->rows);
  if (done->rejected) shown.counted.add("skipped", "rejected", done->rejected);
  for (const auto& t : now.times)
    if (const auto age = seconds_since(t)) shown.visible.observe(*age);
  if (build_.bulk_until != 0) crash_point("view.in_bulk");
  inbox_.settle(now.last);
  crash_point("view.after_ack");
  moved_.notify();
  // Another process has swapped this build in: from now on its durable is the view's.
  if (done->live != build_.live)
    co_return fail(errc::conflict, "view {}: build {} is live", context_.name, build_.number);
  co_return result<void>{};
}

// From an empty table to the view's name: load in bulk, index, catch up, stop the live build, swap.
task<result<void>> build_projector::bring_in() {
  auto done = co_await catch_up();
  if (done && build_.bulk_until != 0) {
    log::info("index", "view {}: build {} is loaded; making its indexes", context_.name, build_.number);
    done =
        co_await context_.retry_while_unavailable([&] { return context_.rows.end_bulk(plan_, build_.number); }, true);
    if (done) crash_point("view.after_bulk");
    if (done) build_.bulk_until = 0;
    moved_.notify();
    if (done) done = co_await catch_up();
  }
  while (done && std::chrono::steady_clock::now() < context_.next_swap && !inbox_.closed())
    co_await moved_.wait_for(context_.next_swap - std::chrono::steady_clock::now());
  if (done && stop_live_) {
    done = co_await catch_up();
    if (done) co_await stop_live_();
    if (done) done = co_await catch_up();
  }
  if (done) done = co_await swap_in();
  if (!done) close();
  co_return done;
}

/// Returns once everything that the store has now, as far as the view wants it, is in the table.
task<result<void>> build_projector::catch_up() {
  const auto bulk_ends = [this] { return build_.bulk_until != 0 && bulk_passed_; };
  std::optional<std::uint64_t> end;
  while (!inbox_.closed() && !bulk_ends()) {
    const auto at = lowest();
    if (!end) end = co_await end_of_store();
    if (end && (at >= *end || (in_flight() == 0 && co_await nothing_after(at)))) co_return result<void>{};
    // A notification of `moved_` is missed while NATS is asked, so the position is compared first.
    if (lowest() == at && !inbox_.closed() && !bulk_ends()) co_await moved_.wait_for(end_check);
  }
  if (inbox_.closed()) co_return fail(errc::closed, "view {}: closed", context_.name);
  co_return result<void>{};
}

/// The store's last sequence; nullopt: not known at the moment.
task<std::optional<std::uint64_t>> build_projector::end_of_store() {
  if (auto now = co_await nats::stream_info(context_.ctx.nc, source().stream())) co_return goal_ = now->last_seq;
  co_return std::nullopt;
}

/// True if the store has nothing for the view after `at`. The search has no upper end: a key before such an end may
/// have been overwritten since, while its older value is being written. The newest message of the subjects would show
/// the same, but NATS would visit every key for it.
task<bool> build_projector::nothing_after(std::uint64_t at) {
  for (const auto& subject : source().subjects(plan_, context_.subject_labels())) {
    auto m = co_await nats::next_message(context_.ctx.nc, source().stream(), subject, at + 1);
    if (m || m.error().code != errc::not_found) co_return false;
  }
  co_return true;
}

task<result<void>> build_projector::swap_in() {
  const auto all = kv::partition_labels(context_.spec.partitions);
  crash_point("view.before_swap");
  auto swapped = co_await context_.rows.ready(plan_, build_.number, context_.labels, all);
  if (!swapped && of_storage(swapped.error().code)) {
    // For example, a reader has a long transaction open. The live build, which was stopped, goes on meanwhile.
    if (context_.swap_refused.empty())
      log::warn("index", "view {}: {}; the old rows go on answering", context_.name, swapped.error().text);
    context_.swap_refused = fmt::format("{}; the old rows go on answering", swapped.error().text);
    context_.next_swap = std::chrono::steady_clock::now() + 3s;
    co_return fail(errc::conflict, "view {}: build {} has not taken its name", context_.name, build_.number);
  }
  context_.swap_refused.clear();
  if (!swapped) co_return swapped.error();
  swapped_ = *swapped;
  // Otherwise other processes' partitions have not caught up. This process goes on, and the last one swaps.
  for (bool still_next = !swapped_; still_next;) {
    co_await moved_.wait_for(swap_check);
    if (inbox_.closed()) co_return fail(errc::closed, "view {}: closed", context_.name);
    auto now = co_await context_.retry_while_unavailable([&] { return context_.rows.look(context_.name); }, true);
    if (!now) co_return now.error();
    still_next = now->next && now->next->number == build_.number;
    swapped_ = now->live && now->live->number == build_.number;
  }
  if (swapped_) {
    crash_point("view.after_swap");
    log::info("index", "view {}: build {} is live", context_.name, build_.number);
  }
  co_return fail(errc::conflict, "view {}: build {} is live", context_.name, build_.number);
}

}  // namespace recordkv::stages
