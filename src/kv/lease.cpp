#include "recordkv/kv/lease.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/timestamp.hpp"

#include <unistd.h>
#include <boost/json.hpp>

#include <fstream>
#include <random>
#include <sstream>

namespace recordkv::kv {
namespace json = boost::json;
namespace {

using std::chrono::steady_clock;
constexpr std::chrono::milliseconds look_every{250}, slow_answer{1000}, renew_every{1000};

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// Field 22 of /proc/<pid>/stat, counted after the command name, which may contain spaces and parentheses. 0: no
// process.
std::uint64_t start_of(int pid) {
  const auto stat = first_line(fmt::format("/proc/{}/stat", pid));
  const auto close = stat.rfind(')');
  if (close == std::string::npos) return 0;
  std::istringstream rest(stat.substr(close + 1));
  std::string field;
  for (int i = 0; i < 20; ++i) rest >> field;
  return std::strtoull(field.c_str(), nullptr, 10);
}

std::string host_name() {
  char link[128] = "";
  const auto n = readlink("/proc/self/ns/pid", link, sizeof link - 1);
  return first_line("/proc/sys/kernel/random/boot_id") + "/" +
         std::string(link, n > 0 ? static_cast<std::size_t>(n) : 0);
}

struct holder {
  process_identity process;
  std::uint64_t first = 0;  // the sequence in bucket lock with which it acquired the lease; 0: not known yet
};

holder parse_holder(const std::string& value) {
  holder h;
  process_identity& p = h.process;
  boost::system::error_code ec;
  const auto v = json::parse(value, ec);
  if (ec || !v.is_object()) return h;
  const auto& o = v.get_object();
  const auto text = [&](std::string_view k) {
    const auto* f = o.if_contains(k);
    return f && f->is_string() ? std::string(f->get_string()) : std::string();
  };
  p.id = text("id");
  p.host = text("host");
  if (const auto* pid = o.if_contains("pid"); pid && pid->is_int64()) p.pid = static_cast<int>(pid->get_int64());
  if (const auto* s = o.if_contains("started"); s && s->is_int64())
    p.started = static_cast<std::uint64_t>(s->get_int64());
  if (const auto* f = o.if_contains("first"); f && f->is_int64()) h.first = static_cast<std::uint64_t>(f->get_int64());
  return h;
}

}  // namespace

const process_identity& process_identity::self() {
  static const process_identity me = [] {
    std::random_device random;
    return process_identity{.id = fmt::format("{:08x}{:08x}", random(), random()),
                            .host = host_name(),
                            .pid = getpid(),
                            .started = start_of(getpid())};
  }();
  return me;
}

bool process_identity::certainly_dead() const {
  return pid > 0 && started > 0 && host == self().host && start_of(pid) != started;
}

lease::lease(nats::connection& nc, lease_spec what, report_maker report)
    : lock_(nc, what.names.lock()), what_(std::move(what)), key_(what_.key()), report_(std::move(report)) {}

std::string lease::value() const {
  const auto& me = process_identity::self();
  return json::serialize(json::object{{"id", me.id},
                                      {"host", me.host},
                                      {"pid", me.pid},
                                      {"started", me.started},
                                      {"since", since_},
                                      {"first", first_},
                                      {"renewed", timestamp_now()},
                                      {"report", report_()}});
}

task<result<void>> lease::acquire(wait_policy p) {
  for (bool first = true;; first = false) {
    // Each time, because `reset` may have removed the bucket while this process was standing by.
    auto opened = co_await lock_.open("file", what_.replicas);
    if (!opened && first) co_return opened.error();
    auto expected = co_await await_turn(p);
    standing_by_ = false;
    if (!expected) co_return expected.error();
    auto taken = co_await take(*expected);
    if (taken) break;
    if (p == wait_policy::one_period && taken.error().code == errc::conflict)
      co_return fail(errc::lease_lost, "{}: another process was faster to take it", key_);
    if (p == wait_policy::one_period) co_return taken;
    co_await released_.wait_for(look_every);  // a standby tries again, whatever NATS answered
  }
  auto alone = co_await yield_to_older();
  if (!alone) co_await release();
  co_return alone;
}

// Returns once the key may be taken: the sequence to compare with.
task<result<std::uint64_t>> lease::await_turn(wait_policy p) {
  std::uint64_t watched = 0;
  auto since = steady_clock::now();
  for (bool first = true; !abandoned_; first = false) {
    const auto asked = steady_clock::now();
    auto found = co_await lock_.get(key_);
    if (steady_clock::now() - asked > slow_answer)
      since = steady_clock::now();  // NATS was slow: the holder could not renew either
    if (!found && found.error().code == errc::not_found) co_return 0;
    if (!found && p == wait_policy::one_period) co_return found.error();
    if (!found) {  // NATS is not reachable: the holder cannot renew either, so its lease has not expired
      since = steady_clock::now();
      co_await released_.wait_for(look_every);
      continue;
    }
    if (found->deleted) co_return found->seq;
    const auto h = parse_holder(found->value);
    if (h.process.id == process_identity::self().id || h.process.certainly_dead()) co_return found->seq;
    if (first)
      log::info("lock", "{} is held by process {}; waiting {} s to see whether it lives", key_, h.process.pid,
                period.count());
    if (!first && found->seq != watched) {
      if (p == wait_policy::one_period)
        co_return fail(errc::lease_lost,
                       "{} is already run by process {} ({}); stop that one first, or leave \"{}\" out of --stages",
                       key_, h.process.pid, h.process.host, what_.base);
      if (!standing_by_) log::info("lock", "{} is run by process {}; standing by", key_, h.process.pid);
      standing_by_ = true;
    }
    if (found->seq != watched) since = steady_clock::now();
    watched = found->seq;
    if (steady_clock::now() - since >= period) co_return found->seq;
    co_await released_.wait_for(look_every);
  }
  co_return fail(errc::closed, "{}: no longer wanted", key_);
}

task<result<void>> lease::take(std::uint64_t expected) {
  since_ = timestamp_now();
  first_ = 0;
  write w{.key = key_, .value = value(), .expected = expected};
  const auto sent = steady_clock::now();
  auto taken = co_await lock_.update(std::move(w));
  if (!taken) co_return taken.error();
  renewed_ = sent;
  seq_ = first_ = *taken;
  held_ = true;
  co_return result<void>{};
}

// Leases on different partitions of one base have keys of their own. After acquiring its lease, a process lists the
// other leases. If two live leases overlap, the process with the newer one exits. Each process looks after it has
// written its key, so at least one of the two sees the other.
task<result<void>> lease::yield_to_older() {
  if (!what_.assigned) co_return result<void>{};
  auto keys = co_await lock_.keys();
  if (!keys) co_return keys.error();
  for (const auto& other : *keys) {
    const auto theirs = partition_set::of_name(other, what_.base, what_.partitions);
    if (other == key_ || !theirs || !theirs->overlaps(*what_.assigned)) continue;
    auto found = co_await lock_.get(other);
    if (!found || found->deleted) continue;
    const auto h = parse_holder(found->value);
    const bool older = (h.first ? h.first : found->seq) < first_;
    auto live = h.process.certainly_dead() ? result<bool>(false) : co_await lives(other, found->seq);
    if (!live) co_return live.error();
    if (!*live) {
      co_await forget(other, found->seq);
      continue;
    }
    if (!older) continue;  // the other process sees this lease, and exits
    co_return fail(errc::lease_lost,
                   "{} overlaps {}, which process {} ({}) runs; give each process partitions of its own (kv.assign, "
                   "index.assign)",
                   key_, other, h.process.pid, h.process.host);
  }
  co_return result<void>{};
}

task<result<bool>> lease::lives(std::string other, std::uint64_t seq) {
  auto until = steady_clock::now() + period;
  while (steady_clock::now() < until && !abandoned_) {
    co_await released_.wait_for(look_every);
    const auto asked = steady_clock::now();
    if (auto renewed = co_await renew_once(); !renewed && lost_)
      co_return renewed.error();  // this process's own lease must not expire meanwhile
    auto found = co_await lock_.get(other);
    if (steady_clock::now() - asked > slow_answer) until = steady_clock::now() + period;  // NATS was slow
    if (!found && found.error().code == errc::not_found) co_return false;
    if (!found) co_return found.error();
    if (found->deleted) co_return false;
    if (found->seq != seq) co_return true;
  }
  if (abandoned_) co_return fail(errc::closed, "{}: no longer wanted", key_);
  co_return false;
}

task<> lease::forget(std::string other, std::uint64_t seq) {
  log::info("lock", "{} has expired and overlaps {}: its key is removed", other, key_);
  write w{.key = std::move(other), .expected = seq};
  w.headers.push_back({"KV-Operation", "DEL"});
  (void)co_await lock_.update(std::move(w));
}

void lease::abandon() noexcept {
  abandoned_ = true;
  if (!held_) released_.notify();
}

void lease::start(nursery& children, std::function<void()> on_lost) {
  on_lost_ = std::move(on_lost);
  children.spawn(renew());
}

task<> lease::renew() {
  while (held_) {
    co_await released_.wait_for(renew_every);
    if (held_ && !writing_) (void)co_await renew_once();  // an error is met again in the next round
  }
}

task<result<void>> lease::renew_once() {
  write w{.key = key_, .value = value(), .expected = seq_};
  const auto sent = steady_clock::now();
  writing_ = true;
  auto renewed = co_await lock_.update(std::move(w));
  result<void> mine;
  if (renewed) {
    seq_ = *renewed;
    renewed_ = sent;
  } else {
    mine = renewed.error().code == errc::conflict ? co_await read_holder() : result<void>(renewed.error());
  }
  writing_ = false;
  written_.notify();
  co_return mine;
}

// After a conflict. The conflicting write may be this process's own renewal, whose answer was lost.
task<result<void>> lease::read_holder() {
  auto now = co_await lock_.get(key_);
  if (now && !now->deleted && parse_holder(now->value).process.id == process_identity::self().id) {
    seq_ = now->seq;
    co_return result<void>{};
  }
  if (!now && now.error().code != errc::not_found) co_return now.error();
  lost_ = true;
  held_ = false;
  log::error("lock", "{} was taken over by another process; stepping down", key_);
  if (on_lost_) on_lost_();
  co_return fail(errc::lease_lost, "{} was taken over by another process", key_);
}

task<result<void>> lease::renew_if_stale() {
  while (writing_) co_await written_.wait();
  if (lost_ || !held_) co_return fail(errc::lease_lost, "{} is not held by this process", key_);
  if (valid()) co_return result<void>{};
  auto renewed = co_await renew_once();
  if (renewed || renewed.error().code == errc::lease_lost || renewed.error().code == errc::closed) co_return renewed;
  // A refusal (a full disk, say) leaves the holder unknown. The caller asks again, as after a lost connection.
  co_return fail(errc::unreachable, "{}", renewed.error().text);
}

task<> lease::release() {
  if (!held_) co_return;
  held_ = false;
  released_.notify();
  while (writing_) co_await written_.wait();  // a renewal under way would conflict with the delete, or undo it
  if (lost_) co_return;
  write w{.key = key_, .expected = seq_};
  w.headers.push_back({"KV-Operation", "DEL"});
  (void)co_await lock_.update(std::move(w));
}

}  // namespace recordkv::kv
