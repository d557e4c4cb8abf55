#include "wish_wait.hpp"

#include "account_text.hpp"
#include "interruption.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/lease.hpp"
#include "recordkv/kv/partition_set.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <cmath>

namespace recordkv::cli {
namespace json = boost::json;
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using word = wish_verdict::word;

constexpr auto between_polls = 250ms;
constexpr auto between_looks_at_stages = 1s;
// The lease of a killed process lives for one period. Its successor may need as long again to start.
constexpr auto grace = 2 * kv::lease::period;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string to_the_second(std::int64_t at) { return timestamp_of(double(at)).substr(0, 19) + "Z"; }

bool fetched_since(const made_wish& w, const wish_facts& f) {
  const auto at = epoch_seconds(w.what.at).value_or(0);
  const auto resynced = f.state->resynced;
  return f.state_seq > w.seq && resynced != 0 && (double(resynced) >= std::floor(at) || resynced > w.before.resynced);
}

// A failed try plans the next one in the future. What an earlier try has planned does not count.
bool tried_in_vain(const made_wish& w, const wish_facts& f, double now) {
  const auto& s = *f.state;
  const bool of_before = s.tries == w.before.tries && s.next_try == w.before.next_try;
  return f.state_seq > w.seq && s.tries > 0 && !s.error.empty() && double(s.next_try) > now && !of_before;
}

// Why the account's repo will not be fetched. Empty: it will.
std::string obstacle(const kv::repo_state& s) {
  if (s.status == "inactive")
    return fmt::format("its PDS says that it is not active ({})",
                       s.upstream_status.empty() ? "no reason given" : on_one_line(s.upstream_status));
  if (s.status == "deleted" || s.status == "removing") return "the account was deleted";
  if (s.status == "removed") return "it was removed by `recordkv repo remove`";
  return {};
}

wish_verdict judge_state(const made_wish& w, const wish_facts& f, double now) {
  const auto& s = *f.state;
  const bool remove = w.what.what == kv::wish_kind::remove;
  if (remove && s.status == "removed" && s.reasons.empty()) return {word::fulfilled, "removed"};
  if (remove && s.status == "removed") return {word::waiting, "its keys are being removed"};
  if (!remove && s.status == "synchronised" && fetched_since(w, f))
    return {word::fulfilled, fmt::format("synchronised at rev {}", on_one_line(s.rev))};
  if (const auto why = obstacle(s); !remove && !why.empty()) return {word::failed, why};
  if (tried_in_vain(w, f, now))
    return {word::failed,
            fmt::format("the try has failed: {}. The next one comes at {}", on_one_line(s.error),
                        to_the_second(s.next_try)),
            s.next_try};
  return {word::waiting, std::string(s.status)};
}

std::string_view name(word w) { return w == word::waiting ? "waiting" : w == word::fulfilled ? "fulfilled" : "failed"; }

class waiting {
 public:
  waiting(session s, std::vector<made_wish> wishes, unsigned partitions, bool as_json)
      : s_(s),
        partitions_(partitions),
        json_(as_json),
        total_(wishes.size()),
        open_(std::move(wishes)),
        interrupted_(s.nc.io()) {}

  task<int> run() {
    flush_output();  // what will happen, before the wait
    while (!open_.empty()) {
      if (auto polled = co_await poll(); !polled) co_return complain(polled.error());
      if (open_.empty()) break;
      if (auto seen = co_await look_at_stages(); !seen) co_return complain(seen.error());
      if (interrupted_.happened()) co_return left("no longer waiting", no);
      if (untaken_since_ && steady_clock::now() - *untaken_since_ > grace)
        co_return left("nothing to wait for", unreachable);
      co_await interrupted_.pause(between_polls);
    }
    co_return code_;
  }

 private:
  task<result<void>> poll() {
    std::string words;
    for (std::size_t n = 0; n < open_.size();) {
      auto facts = co_await read_wish_facts(s_, open_[n], partitions_);
      if (!facts) co_return facts.error();
      const auto verdict = judge(open_[n], *facts, now_seconds());
      if (verdict.is == word::waiting) {
        if (words.empty()) words = fmt::format("{}: {}", open_[n].what.did, verdict.text);
        ++n;
        continue;
      }
      tell(open_[n], verdict);
      open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(n));
    }
    if (!open_.empty()) show(words);
    co_return result<void>{};
  }

  task<result<void>> look_at_stages() {
    const auto now = steady_clock::now();
    if (now < next_look_) co_return result<void>{};
    next_look_ = now + between_looks_at_stages;
    auto rows = co_await read_locks(s_.nc, s_.names());
    if (!rows) co_return rows.error();
    std::vector<std::string> untaken;
    for (const auto& w : open_)
      if (!is_taken(*rows, w.partition, partitions_)) untaken.push_back(w.partition);
    if (untaken.empty()) {
      untaken_since_.reset();
    } else if (!untaken_since_) {
      untaken_since_ = now;
      bar_.reset();
      write_error("recordkv: {}. Waiting {} s for one\n", not_taken_text(untaken),
                  std::chrono::duration_cast<std::chrono::seconds>(grace).count());
    }
    co_return result<void>{};
  }

  void show(const std::string& words) {
    if (!bar_) bar_.emplace("wishes");
    bar_->show(double(total_ - open_.size()) / double(total_), words);
  }

  void tell(const made_wish& w, const wish_verdict& v) {
    bar_.reset();
    if (v.is == word::failed) code_ = no;
    if (json_)
      write_out("{}\n", json::serialize(wish_report(w, v, !untaken_since_)));
    else if (v.is == word::failed)
      write_error("recordkv: {}: {}\n", w.who(), v.text);
    else
      write_out("{}: {}\n", w.who(), v.text);
    flush_output();
  }

  // The command ends before the wishes do.
  int left(std::string_view why, int code) {
    bar_.reset();
    for (const auto& w : open_) {
      if (json_)
        write_out("{}\n", json::serialize(wish_report(w, {}, !untaken_since_)));
      else
        write_error("recordkv: {}: {}; the wish stays. `recordkv repo show {}` says how far it is\n", w.who(), why,
                    w.what.did);
    }
    return code;
  }

  session s_;
  unsigned partitions_;
  bool json_;
  std::size_t total_;
  std::vector<made_wish> open_;
  interruption interrupted_;
  std::optional<progress> bar_;
  steady_clock::time_point next_look_;
  std::optional<steady_clock::time_point> untaken_since_;
  int code_ = done;
};

}  // namespace

std::string made_wish::who() const { return handle.empty() ? what.did : fmt::format("{} ({})", handle, what.did); }

wish_verdict judge(const made_wish& w, const wish_facts& facts, double now) {
  if (facts.wish == wish_facts::key::replaced)
    return {word::failed, "a newer wish for the account has replaced this one"};
  if (facts.wish == wish_facts::key::pending) return {word::waiting, "waits for stage kv"};
  if (!facts.state) return {word::failed, "the wish was removed without effect: the account has no state"};
  return judge_state(w, facts, now);
}

// Both from the stream's leader, and the wish first: its removal follows its first effect on the state.
task<result<wish_facts>> read_wish_facts(session s, const made_wish& w, unsigned partitions) {
  kv::bucket repo(s.nc, s.names().repo());
  wish_facts out;
  auto wish = co_await repo.get(kv::wish_key(w.what.did));
  if (!wish && wish.error().code != errc::not_found) co_return wish.error();
  if (!wish || wish->deleted)
    out.wish = wish_facts::key::gone;
  else if (wish->seq != w.seq)
    out.wish = wish_facts::key::replaced;
  auto state = co_await repo.get(kv::repo_key(w.what.did, partitions));
  if (!state && state.error().code != errc::not_found) co_return state.error();
  if (!state || state->deleted) co_return out;
  auto parsed = kv::parse_repo_state(state->value);
  if (!parsed) co_return fail(parsed.error().code, "the state of {}: {}", w.what.did, parsed.error().text);
  out.state = std::move(*parsed);
  out.state_seq = state->seq;
  co_return out;
}

json::object wish_report(const made_wish& w, const wish_verdict& v, bool running) {
  json::object o;
  o["did"] = w.what.did;
  if (!w.handle.empty()) o["handle"] = w.handle;
  o["wish"] = kv::name(w.what.what);
  o["at"] = w.what.at;
  o["seq"] = w.seq;
  o["running"] = running;
  o["outcome"] = name(v.is);
  if (!v.text.empty()) o["text"] = v.text;
  if (v.next_try != 0) o["next_try"] = v.next_try;
  return o;
}

bool is_taken(const std::vector<lock_row>& rows, const std::string& partition, unsigned partitions) {
  return std::ranges::any_of(rows, [&](const auto& r) {
    const auto assigned = r.live ? kv::partition_set::of_name(r.key, "kv", partitions) : std::nullopt;
    return assigned && std::ranges::find(assigned->labels(), partition) != assigned->labels().end();
  });
}

std::string not_taken_text(const std::vector<std::string>& partitions) {
  auto names = partitions;
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return fmt::format("no process runs stage kv for partition{} {}: the wish waits for the next start of one",
                     names.size() == 1 ? "" : "s", fmt::join(names, ","));
}

task<int> await_wishes(session s, std::vector<made_wish> wishes, unsigned partitions, bool as_json) {
  waiting all(s, std::move(wishes), partitions, as_json);
  co_return co_await all.run();
}

}  // namespace recordkv::cli
