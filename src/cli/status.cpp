// `status`: the state of the whole system, from any machine that reaches NATS.
//
// Owns: how the facts are printed. Does not know: where they come from (status_facts.hpp).
#include "commands.hpp"

#include "output.hpp"
#include "recordkv/core/json_fields.hpp"
#include "status_facts.hpp"

#include <unistd.h>
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>

#include <algorithm>
#include <map>

namespace recordkv::cli {
namespace json = boost::json;
namespace {

using namespace std::chrono_literals;

std::string condition_of(const json::object& o) {
  auto state = text_of(o, "state");
  if (state == "gone")
    return marked("31", fmt::format("NOT RUNNING, last seen {} (or NATS takes no writes)", text_of(o, "renewed")));
  if (state == "stalled")
    return marked("31", fmt::format("STALLED since {}: {} ({})", text_of(o, "stalled_since"), text_of(o, "reason"),
                                    text_of(o, "cause")));
  return state;
}

// Which accounts are fetched, and how far that is. Empty: none is named by a list, and no repair waits.
std::string following_text(const json::object& o) {
  std::string out;
  if (const auto* lists = object_field(o, "lists")) {
    out = fmt::format("  {}: {} found", text_of(*lists, "of"), text_of(*lists, "found"));
    if (lists->contains("expected")) out += fmt::format(" of about {}", text_of(*lists, "expected"));
    if (flag_field(*lists, "finished")) out += ", read to the end";
    if (lists->contains("hosts_passed_over"))
      out += fmt::format(", {} hosts could not be read", text_of(*lists, "hosts_passed_over"));
    if (lists->contains("seconds_left")) out += fmt::format(", about {} s left", text_of(*lists, "seconds_left"));
    if (lists->contains("error")) out += ": " + marked("31", text_of(*lists, "error"));
  }
  const auto open = unsigned_field(o, "repairs_waiting") + unsigned_field(o, "repairs_under_way");
  if (open > 0) out += fmt::format("  {} account{} to fetch", open, open == 1 ? "" : "s");
  if (open > 0 && o.contains("repairs_seconds_left"))
    out += fmt::format(", about {} s left", text_of(o, "repairs_seconds_left"));
  return out;
}

void print_stage(const json::object& o) {
  write_out("{:<12} {} (process {})", text_of(o, "key"), condition_of(o), text_of(o, "pid"));
  for (const char* key : {"source", "cursor", "cursor_age_seconds", "events", "buffered", "lag_messages", "lag_seconds",
                          "in_flight", "written", "deleted", "position", "rows"})
    if (o.contains(key)) write_out("  {} {}", key, text_of(o, key));
  if (const auto* b = object_field(o, "building"))
    write_out("  next build at {} of {}", text_of(*b, "position"), text_of(*b, "goal"));
  if (const auto following = following_text(o); !following.empty()) write_out("\n            {}", following);
  if (const auto* counted = o.if_contains("counted"); counted && !counted->as_object().empty()) {
    write_out("\n            ");
    for (const auto& [what, n] : counted->as_object())
      write_out("  {}: {}", std::string_view(what), json::serialize(n));
  }
  write_out("\n");
}

void print_store(const json::object& store) {
  if (store.contains("missing")) {
    std::vector<std::string> others;
    for (const auto& b : store.at("buckets").as_array()) others.emplace_back(b.as_string());
    return write_out("store        {}: there is no such bucket; there {}: {} (kv.bucket)\n", text_of(store, "missing"),
                     others.size() == 1 ? "is" : "are", fmt::join(others, ", "));
  }
  if (store.empty()) return write_out("store        there is none yet\n");
  write_out("store        bucket {}: {} keys, {:.1f} MB", text_of(store, "bucket"), text_of(store, "keys"),
            number_field(store, "bytes") / 1e6);
  if (store.contains("writes_per_second"))
    write_out(", {} writes/s, {} new keys/s", text_of(store, "writes_per_second"), text_of(store, "keys_per_second"));
  if (store.contains("hours_to_advisable_size"))
    write_out(", {:.1f} h to the advisable {} keys", number_field(store, "hours_to_advisable_size"), advisable_keys);
  if (store.contains("past_advisable_size")) write_out(", PAST the advisable {} keys", advisable_keys);
  write_out("\n");
}

void print_gaps(const json::object& all) {
  const auto* gaps = all.if_contains("gaps");
  if (!gaps) return;
  for (const auto& row : gaps->as_array()) {
    const auto& g = row.as_object();
    const auto end = [&](std::string_view key) { return g.at(key).is_null() ? "an unknown time" : text_of(g, key); };
    write_out("gap          {}\n             acknowledge it, and all of this source: nats kv del {} '{}'\n",
              marked("31", fmt::format("{}: events may be missing from {} to {} ({})", text_of(g, "source"),
                                       end("from"), end("to"), text_of(g, "cause"))),
              text_of(g, "bucket"), text_of(g, "key"));
  }
}

std::string stale_accounts(const json::object& all) {
  const auto& counted = all.at("accounts_maybe_stale");
  return counted.is_null() ? "an unknown number" : json::serialize(counted);
}

void print_accounts(const json::object& all) {
  write_out("accounts     ");
  if (const auto* reported = object_field(all, "accounts")) write_out("{} known, ", text_of(*reported, "known"));
  write_out("{} may be stale", stale_accounts(all));
  if (const auto* gaps = array_field(all, "gaps"); gaps && !gaps->empty())
    write_out(", and those with events in a gap");
  const char* before = ": ";
  if (const auto* reasons = object_field(all, "accounts_stale_by_reason"))
    for (const auto& [reason, n] : *reasons)
      write_out("{}{} {}", std::exchange(before, ", "), std::string_view(reason), json::serialize(n));
  write_out("\n");
}

// What the stages kv have repaired since their start, after NATS or a source had lost something.
void print_after_loss(const json::object& all) {
  double checked = 0, resynced = 0, differed = 0, waiting = 0;
  for (const auto& row : all.at("stages").as_array()) {
    const auto* o = object_field(row.as_object(), "after_loss");
    if (o == nullptr || text_of(row.as_object(), "state") == "gone") continue;
    checked += number_field(*o, "checked");
    resynced += number_field(*o, "resynced");
    differed += number_field(*o, "records_differed");
    waiting += number_field(*o, "waiting");
  }
  if (checked + waiting == 0) return;
  write_out("repair       after a loss: {:.0f} accounts checked, {:.0f} resynced, {:.0f} records differed", checked,
            resynced, differed);
  if (waiting > 0) write_out("; {:.0f} still to be checked", waiting);
  write_out("\n");
}

void print_ends(const json::object& all) {
  print_gaps(all);
  print_after_loss(all);
  for (const auto& name : all.at("missing").as_array())
    write_out("{:<12} {}\n", std::string_view(name.as_string()), marked("31", "no process runs this"));
  if (all.at("stages").as_array().empty()) write_out("stages       none is running\n");
  for (const auto& why : all.at("not_ready").as_array())
    if (why.as_string().find("lags by") != json::string::npos)
      write_out("not ready    {}\n", marked("31", std::string(why.as_string())));
  for (const auto& said : all.at("warnings").as_array())
    write_out("{:<12} {}\n", "WARNING", marked("33", std::string(said.as_string())));
  print_accounts(all);
}

void print_text(const json::object& all) {
  const auto& nats = all.at("nats").as_object();
  write_out("nats         {} (server {}{})\n", text_of(nats, "url"), text_of(nats, "server_id"),
            nats.contains("domain") ? ", JetStream domain " + text_of(nats, "domain") : "");
  print_store(all.at("store").as_object());
  if (const auto* b = all.if_contains("buffer"))
    write_out("buffer       stream ingest: {} of {} messages{}\n", text_of(b->as_object(), "messages"),
              text_of(b->as_object(), "max_messages"),
              b->as_object().contains("full") ? ", FULL: the kv stage is not keeping up" : "");
  for (const auto& row : all.at("stages").as_array()) print_stage(row.as_object());
  print_ends(all);
}

// The flow as it moves: what each part takes in per second, how far it is behind, how full the buffer is.
class live_view {
 public:
  void print(const json::object& all) {
    if (isatty(STDOUT_FILENO) != 0) write_out("\x1b[H\x1b[2J");
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    write_out("{:<14} {:>10} {:>12} {:>9} {:>10} {:>12}  {}\n", "", "events/s", "behind", "lag", "in flight",
              "visible p99", "");
    bool buffer_shown = false;
    for (const auto& row : all.at("stages").as_array()) {
      const auto& o = row.as_object();
      if (text_of(o, "stage") != "ingest" && !std::exchange(buffer_shown, true)) print_buffer(all);
      print_part(o, seconds);
    }
    if (!buffer_shown) print_buffer(all);
    print_store(all.at("store").as_object());
    print_ends(all);
  }

 private:
  void print_part(const json::object& o, double seconds) {
    const auto key = text_of(o, "key") + text_of(o, "pid");
    const double events = number_field(o, "events");
    const auto before = std::exchange(seen_[key], events);
    const double rate = before > 0 && events >= before ? (events - before) / seconds : 0;
    const auto p99 = o.contains("visible_p99_seconds") ? fmt::format("{} s", text_of(o, "visible_p99_seconds")) : "";
    write_out("{:<14} {:>10.0f} {:>12} {:>7.1f} s {:>10} {:>12}  {}\n", text_of(o, "key"), rate,
              text_of(o, "lag_messages"), number_field(o, "lag_seconds"), text_of(o, "in_flight"), p99,
              condition_of(o));
  }

  static void print_buffer(const json::object& all) {
    const auto* b = all.if_contains("buffer");
    if (!b) return;
    const double max = std::max(1.0, number_field(b->as_object(), "max_messages"));
    const double part = std::clamp(number_field(b->as_object(), "messages") / max, 0.0, 1.0);
    const auto filled = static_cast<std::size_t>(part * 40);
    write_out("{:<14} [{}{}] {} of {}\n", "  buffer", std::string(filled, '#'), std::string(40 - filled, '.'),
              text_of(b->as_object(), "messages"), text_of(b->as_object(), "max_messages"));
  }

  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::map<std::string, double> seen_;
};

task<> next_second() {
  asio::steady_timer second(co_await asio::this_coro::executor, 1s);
  co_await second.async_wait(use_task);
}

constexpr int accounts_every = 30;  // refreshes: the count reads all account states

task<int> show(session s, invocation i) {
  live_view live;
  json::value accounts, reasons;
  for (int n = 0;; ++n) {
    const auto how_deep = i.quiet ? depth::stages : n % accounts_every == 0 ? depth::accounts : depth::store;
    auto all = co_await system_facts(s, how_deep);
    if (!all && !i.watch) co_return complain(all.error());
    if (!all) {
      write_out("{}\n", marked("31", all.error().text));
      if (!flush_output()) co_return done;
      co_await next_second();
      continue;
    }
    if (const auto* counted = all->if_contains("accounts_maybe_stale")) accounts = *counted;
    if (const auto* counted = all->if_contains("accounts_stale_by_reason")) reasons = *counted;
    all->insert_or_assign("accounts_maybe_stale", accounts);
    all->insert_or_assign("accounts_stale_by_reason", reasons);
    if (i.json)
      write_out("{}\n", json::serialize(*all));
    else if (i.watch)
      live.print(*all);
    else if (!i.quiet)
      print_text(*all);
    if (!i.watch) co_return all_well(*all, s.cfg) ? done : no;
    if (!flush_output()) co_return done;
    co_await next_second();
  }
}

}  // namespace

int status(const invocation& i, const config& cfg) {
  return with_nats(cfg, [&](session s) { return show(s, i); });
}

}  // namespace recordkv::cli
