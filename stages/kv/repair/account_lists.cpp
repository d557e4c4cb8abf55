#include "account_lists.hpp"

#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/backoff.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/timestamp.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::stages {

using namespace std::chrono_literals;
using xrpc::list_request;

namespace {

constexpr auto room_check = 500ms;     // how soon reading goes on after repairs have made room
constexpr auto between_lines = 10s;    // of progress in the log
constexpr auto max_pauses = 300;       // the longest pause after a failure, beside the first one
constexpr unsigned max_refusals = 5;   // of a cursor by the configured host; then the reading begins again
constexpr unsigned tries_of_host = 5;  // if it answered before

xrpc::pds_client::failure failure_of(const error& e) { return {e.code, "store", e.text}; }

}  // namespace

std::string lists_rules::what_is_read() const {
  switch (what) {
    case mode::list: return "the list repos.dids";
    case mode::signal: return fmt::format("the accounts with {} of {}", collection, host);
    case mode::all: break;
  }
  return each_host ? fmt::format("the accounts of each host that {} lists", host)
                   : fmt::format("all accounts of {}", host);
}

account_lists::account_lists(lists_port port, lists_rules rules, meters& counters)
    : port_(std::move(port)), rules_(std::move(rules)), counters_(counters) {}

void account_lists::close() noexcept {
  closed_ = true;
  if (port_.close) port_.close();
  woken_.notify();
}

task<> account_lists::run() {
  while (!closed_ && !co_await load()) co_await woken_.wait_for(rules_.first_retry);
  backoff pauses(rules_.first_retry, rules_.first_retry * max_pauses);
  while (!closed_) {
    if (progress_.finished != 0) {
      co_await wait_for_refresh();
      continue;
    }
    auto failed = co_await read();
    if (closed_ || (failed && failed->code == errc::closed)) co_return;
    if (!failed) {
      pauses.reset();
      last_error_.clear();
      continue;
    }
    last_error_ = failed->text;
    forget_refused_cursor(*failed);
    counters_.add("lists", failed->word);
    if (const auto n = told_.count(failed->word, rate_limited::clock::now()))
      log::warn("kv", "reading {}: {}; tried again ({} time{} so far)", rules_.what_is_read(), failed->text, n,
                n == 1 ? "" : "s");
    co_await woken_.wait_for(std::max<std::chrono::milliseconds>(pauses.next(), failed->stay_away));
  }
}

// The host may have lost what the cursor meant. To read its lists from their beginning changes nothing else.
void account_lists::forget_refused_cursor(const failure& why) {
  const bool same = why.word == "status" && !progress_.cursor.empty() && progress_.cursor == refused_cursor_;
  refusals_ = same ? refusals_ + 1 : 1;
  refused_cursor_ = progress_.cursor;
  if (!same || refusals_ < max_refusals || rules_.each_host) return;
  log::warn("kv", "reading {}: its cursor is refused; beginning again", rules_.what_is_read());
  begin_again();
}

// A list of the configuration is short, and is read from its beginning at each start.
task<bool> account_lists::load() {
  auto known = co_await port_.load();
  if (!known) co_return false;
  progress_ = parse_list_progress(*known);
  if (progress_.of != rules_.key_of_reading() || rules_.what == lists_rules::mode::list) begin_again();
  if (progress_.finished == 0 && progress_.found > 0)
    log::info("kv", "reading {}: goes on after {} accounts", rules_.what_is_read(), progress_.found);
  co_return true;
}

void account_lists::begin_again() {
  progress_ = {.of = rules_.key_of_reading(), .begun = seconds_since_1970(rules_.now())};
}

task<> account_lists::wait_for_refresh() {
  const auto due = clock::time_point(std::chrono::seconds(progress_.finished)) + rules_.refresh;
  const auto left = due - rules_.now();
  if (left <= 0s) co_return begin_again();
  co_await woken_.wait_for(std::min<clock::duration>(left, 1h));
}

task<account_lists::outcome> account_lists::read() {
  using mode = lists_rules::mode;
  outcome failed;
  if (rules_.what == mode::list)
    failed = co_await read_names();
  else if (rules_.each_host)
    failed = co_await read_hosts();
  else
    failed = co_await read_pages(
        {.what = rules_.what == mode::signal ? list_request::kind::repos_by_collection : list_request::kind::repos,
         .host = rules_.host,
         .collection = rules_.collection,
         .cursor = progress_.cursor});
  if (failed) co_return failed;
  auto ended = progress_;
  ended.finished = std::max<std::int64_t>(seconds_since_1970(rules_.now()), 1);
  ended.host.clear();
  ended.cursor.clear();
  ended.hosts_cursor.clear();
  std::swap(ended, progress_);
  if (auto not_saved = co_await save()) {
    std::swap(ended, progress_);  // the last page is read again
    co_return not_saved;
  }
  log::info("kv", "{}: {} account{} listed", rules_.what_is_read(), progress_.found, progress_.found == 1 ? "" : "s");
  co_return outcome{};
}

// A handle that names no account must not keep the others away. It is tried again with the others.
task<account_lists::outcome> account_lists::read_names() {
  std::vector<std::string> dids;
  outcome unresolved;
  for (const auto& name : rules_.names) {
    if (atproto::is_did(name)) {
      dids.push_back(name);
      continue;
    }
    auto did = co_await port_.did_of(name);
    if (closed_) co_return failure{errc::closed, "closed", "closed"};
    if (did)
      dids.push_back(std::move(*did));
    else
      unresolved = failure{did.error().code, "handle", did.error().text};
  }
  progress_.found = dids.size();
  progress_.expected = rules_.names.size();
  auto failed = co_await follow(std::move(dids));
  co_return failed ? failed : unresolved;
}

// Goes on with the page that progress_ names. Progress is written once its accounts are followed durably, so a restart
// reads at most one page again.
task<account_lists::outcome> account_lists::read_pages(list_request q) {
  if (q.cursor.empty() && q.configured && q.what == list_request::kind::repos) co_await expect();
  const auto begun = std::chrono::steady_clock::now();
  do {
    while (!closed_ && !port_.room()) co_await woken_.wait_for(room_check);
    if (closed_) co_return failure{errc::closed, "closed", "closed"};
    const auto page = co_await port_.page(q);
    if (!page) co_return page.error();
    if (auto failed = co_await follow(page->items)) co_return failed;
    progress_.found += page->items.size();
    progress_.inactive += page->inactive;
    q.cursor = page->cursor;
    progress_.cursor = q.cursor;
    progress_.of_host += std::max<std::uint64_t>(rules_.page_cost, page->items.size() + page->inactive);
    if (!q.configured && !q.cursor.empty())
      if (auto too_much = too_much_of_host(q.host, begun)) co_return too_much;
    if (!q.cursor.empty())
      if (auto failed = co_await save()) co_return failed;
    tell();
  } while (!q.cursor.empty());
  co_return outcome{};
}

// A host that a list names may give pages without end, or slowly.
account_lists::outcome account_lists::too_much_of_host(const std::string& host,
                                                       std::chrono::steady_clock::time_point begun) const {
  if (progress_.of_host > rules_.max_of_host)
    return failure{errc::too_large, "host_too_large",
                   fmt::format("{} lists more than {} accounts", host, rules_.max_of_host)};
  if (std::chrono::steady_clock::now() - begun > rules_.time_of_host)
    return failure{errc::too_large, "host_too_slow", fmt::format("{} takes too long to list its accounts", host)};
  return {};
}

// The number of accounts that the host's own hosts say they have. A host need not say.
task<account_lists::outcome> account_lists::expect() {
  list_request q{.what = list_request::kind::hosts, .host = rules_.host, .collection = {}, .cursor = {}};
  std::uint64_t sum = 0;
  do {
    const auto page = co_await port_.page(q);
    if (!page) co_return page.error();
    sum += page->accounts;
    q.cursor = page->cursor;
  } while (!q.cursor.empty() && !closed_);
  progress_.expected = sum;
  co_return outcome{};
}

// A host that can't be read is passed over until the next refresh: the list of hosts has many that are gone for good.
task<account_lists::outcome> account_lists::read_hosts() {
  for (;;) {
    list_request q{.what = list_request::kind::hosts, .host = rules_.host, .collection = {}};
    q.cursor = progress_.hosts_cursor;
    const auto page = co_await port_.page(q);
    if (!page) co_return page.error();
    auto next = std::ranges::find(page->items, progress_.host);
    if (next == page->items.end()) {
      next = page->items.begin();
      progress_.cursor.clear();
      progress_.of_host = 0;
      progress_.expected += page->accounts;
    }
    for (; next != page->items.end(); ++next) {
      if (auto failed = co_await read_host(*next)) co_return failed;
      progress_.cursor.clear();
      progress_.of_host = 0;
    }
    progress_.host.clear();
    progress_.hosts_cursor = page->cursor;
    if (page->cursor.empty()) co_return outcome{};
    if (auto failed = co_await save()) co_return failed;
  }
}

task<account_lists::outcome> account_lists::read_host(std::string host) {
  progress_.host = host;
  backoff pauses(rules_.first_retry, rules_.first_retry * max_pauses);
  outcome failed;
  for (unsigned tries = 1;; ++tries) {
    failed = co_await read_pages({.what = list_request::kind::repos,
                                  .host = host,
                                  .configured = false,
                                  .collection = {},
                                  .cursor = progress_.cursor});
    if (!failed || failed->code == errc::closed || failed->word == "store") co_return failed;
    const bool for_good = failed->code == errc::too_large || failed->code == errc::malformed;
    // Many hosts are gone. One that never answered is asked once, unless it says itself when it may be asked again.
    const bool answers = !progress_.cursor.empty() || failed->stay_away.count() > 0;
    if (for_good || !answers || tries >= tries_of_host) break;
    co_await woken_.wait_for(std::max<std::chrono::milliseconds>(pauses.next(), failed->stay_away));
    if (closed_) co_return failure{errc::closed, "closed", "closed"};
  }
  ++progress_.passed_over;
  counters_.add("lists", "host_failed");
  if (const auto n = told_.count("host_failed", rate_limited::clock::now()))
    log::warn("kv", "the lists of {} host{} can't be read, the last because {}; passed over until the next reading", n,
              n == 1 ? "" : "s", failed->text);
  co_return outcome{};
}

task<account_lists::outcome> account_lists::follow(std::vector<std::string> found) {
  std::erase_if(found, [this](const std::string& did) { return !port_.mine(did); });
  counters_.add("accounts_listed", {}, found.size());
  for (std::size_t from = 0; from < found.size(); from += rules_.in_batch) {
    const auto to = std::min(found.size(), from + rules_.in_batch);
    std::vector<std::string> some(found.begin() + static_cast<std::ptrdiff_t>(from),
                                  found.begin() + static_cast<std::ptrdiff_t>(to));
    auto followed = co_await port_.follow(std::move(some));
    if (!followed) co_return failure_of(followed.error());
  }
  co_return outcome{};
}

task<account_lists::outcome> account_lists::save() {
  auto saved = co_await port_.save(to_json(progress_));
  if (!saved) co_return failure_of(saved.error());
  co_return outcome{};
}

boost::json::object account_lists::describe() const {
  boost::json::object out{
      {"of", rules_.what_is_read()}, {"found", progress_.found}, {"finished", progress_.finished != 0}};
  if (progress_.passed_over != 0) out["hosts_passed_over"] = progress_.passed_over;
  if (progress_.expected != 0) out["expected"] = progress_.expected;
  if (const auto left = progress_.left(seconds_since_1970(rules_.now()))) out["seconds_left"] = left->count();
  if (!last_error_.empty()) out["error"] = last_error_;
  return out;
}

void account_lists::tell() {
  const auto now = std::chrono::steady_clock::now();
  if (now - told_progress_ < between_lines) return;
  told_progress_ = now;
  const auto left = progress_.left(seconds_since_1970(rules_.now()));
  log::info("kv", "reading {}: {} accounts{}{}", rules_.what_is_read(), progress_.found,
            progress_.expected != 0 ? fmt::format(" of about {}", progress_.expected) : "",
            left ? fmt::format(", about {} s left", left->count()) : "");
}

}  // namespace recordkv::stages
