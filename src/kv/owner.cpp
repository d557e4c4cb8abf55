#include "recordkv/kv/owner.hpp"

#include "recordkv/core/log.hpp"

#include <fmt/chrono.h>
#include <unistd.h>
#include <boost/json.hpp>

#include <fstream>
#include <random>
#include <sstream>

namespace recordkv::kv {
namespace json = boost::json;
namespace {

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// Field 22 of /proc/<pid>/stat, counted behind the command name, which may hold spaces and parentheses. 0: no process.
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

process_identity parse_identity(const std::string& value) {
  process_identity p;
  boost::system::error_code ec;
  const auto v = json::parse(value, ec);
  if (ec || !v.is_object()) return p;
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
  return p;
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

std::string timestamp_now() {
  using namespace std::chrono;
  const auto now = system_clock::now();
  const auto ms = duration_cast<milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(system_clock::to_time_t(now)), ms);
}

owner::owner(nats::connection& nc, std::string key, std::function<std::string()> report)
    : lock_(nc, "lock"), key_(std::move(key)), report_(std::move(report)) {}

std::string owner::value() const {
  const auto& me = process_identity::self();
  return fmt::format(R"({{"id":"{}","host":"{}","pid":{},"started":{},"since":"{}","renewed":"{}","report":{}}})",
                     me.id, me.host, me.pid, me.started, since_, timestamp_now(), report_());
}

task<result<void>> owner::acquire() {
  if (auto opened = co_await lock_.open(); !opened) co_return opened.error();
  since_ = timestamp_now();
  auto found = co_await lock_.get(key_);
  if (!found && found.error().code != errc::not_found) co_return found.error();
  std::uint64_t expected = found ? found->seq : 0;
  if (found && !found->deleted) {
    const auto holder = parse_identity(found->value);
    if (holder.id != process_identity::self().id && !holder.certainly_dead()) {
      log::info("lock", "{} is held by process {}; waiting {} s to see whether it lives", key_, holder.pid,
                lease.count());
      co_await released_.wait_for(lease);
      auto again = co_await lock_.get(key_);
      if (!again) co_return again.error();
      if (again->seq != expected && !again->deleted)
        co_return fail(errc::not_owner,
                       "{} is already run by process {} ({}); stop that one first, or leave \"{}\" out of --stages",
                       key_, holder.pid, holder.host, key_);
      expected = again->seq;
    }
  }
  write w{.key = key_, .value = value(), .expected = expected};
  auto taken = co_await lock_.update(std::move(w));
  if (!taken) {
    if (taken.error().code == errc::conflict)
      co_return fail(errc::not_owner, "{}: another process was faster to take it", key_);
    co_return taken.error();
  }
  seq_ = *taken;
  held_ = true;
  co_return result<void>{};
}

void owner::start(nursery& children, std::function<void()> on_lost) {
  on_lost_ = std::move(on_lost);
  children.spawn(renew());
}

task<> owner::renew() {
  while (held_) {
    co_await released_.wait_for(std::chrono::seconds(1));
    if (!held_) break;
    write w{.key = key_, .value = value(), .expected = seq_};
    writing_ = true;
    auto renewed = co_await lock_.update(std::move(w));
    if (renewed)
      seq_ = *renewed;
    else if (renewed.error().code == errc::conflict)  // otherwise NATS is away; the next round tells
      co_await look_whose();
    writing_ = false;
    written_.notify();
  }
}

// After a conflict: it may be our own renewal, of which only the answer was lost.
task<> owner::look_whose() {
  auto now = co_await lock_.get(key_);
  if (now && !now->deleted && parse_identity(now->value).id == process_identity::self().id) {
    seq_ = now->seq;
    co_return;
  }
  if (!now && now.error().code != errc::not_found) co_return;
  lost_ = true;
  held_ = false;
  log::error("lock", "{} was taken over by another process; stepping down", key_);
  on_lost_();
}

task<> owner::release() {
  if (!held_) co_return;
  held_ = false;
  released_.notify();
  while (writing_) co_await written_.wait();  // a renewal on its way would refuse the delete, or undo it
  if (lost_) co_return;
  write w{.key = key_, .expected = seq_};
  w.headers.push_back({"KV-Operation", "DEL"});
  (void)co_await lock_.update(std::move(w));
}

}  // namespace recordkv::kv
