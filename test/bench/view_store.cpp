// A store to measure views on, and the bare limit beside them: the same messages taken by a consumer that does nothing.
//
// Owns: making a store of mixed records, half of them likes, deterministic; reading it through a pull consumer.
// Does not know: views. Usage: bench-view-store URL fill RECORDS RATE | URL read SUBJECT; prints a rate a second.
// RATE 0: as fast as they are taken. Paced, it overwrites nothing: every record is a key of its own.
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>

using namespace recordkv;

namespace {

using std::chrono::steady_clock;

[[noreturn]] void give_up(const error& e) {
  fmt::print(stderr, "bench: {}\n", e.text);
  std::exit(1);
}

/// splitmix64: the same numbers everywhere.
std::uint64_t mixed(std::uint64_t n) {
  n += 0x9e3779b97f4a7c15;
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
  n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
  return n ^ (n >> 31);
}

std::string name(std::uint64_t n, std::size_t letters) {
  static constexpr std::string_view alphabet = "234567abcdefghijklmnopqrstuvwxyz";
  std::string out;
  for (std::size_t i = 0; i < letters; ++i, n = i % 12 == 0 ? mixed(n) : n >> 5) out += alphabet[n & 31];
  return out;
}

std::string did(std::uint64_t account) { return "did:plc:" + name(mixed(account), 24); }

/// A post of one of a hundred thousand; few of them get most of what there is.
std::string post(std::uint64_t n) {
  const std::uint64_t which = mixed(n) % (1 + mixed(n + 1) % 100'000);
  return fmt::format("at://{}/app.bsky.feed.post/3k{}", did(which % 20'000), name(mixed(which), 11));
}

struct made {
  std::string collection, json;
};

made record(std::uint64_t n) {
  const std::string cid = "bafyrei" + name(mixed(n * 3), 52);
  const auto when = fmt::format("2025-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", 1 + n % 12, 1 + n % 28, n % 24, n % 60,
                                n % 59, n % 1000);
  const auto about = [&](std::string_view type, std::uint64_t salt) {
    return fmt::format(R"({{"$type":"{}","subject":{{"cid":"{}","uri":"{}"}},"createdAt":"{}"}})", type, cid,
                       post(n + salt), when);
  };
  switch (n % 20) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9: return {"app.bsky.feed.like", about("app.bsky.feed.like", 0)};
    case 10:
    case 11: return {"app.bsky.feed.repost", about("app.bsky.feed.repost", 7)};
    case 12:
    case 13:
    case 14:
      return {"app.bsky.graph.follow",
              fmt::format(R"({{"$type":"app.bsky.graph.follow","subject":"{}","createdAt":"{}"}})",
                          did(mixed(n) % 200'000), when)};
    case 15:
      return {"app.bsky.actor.profile",
              fmt::format(R"({{"$type":"app.bsky.actor.profile","displayName":"{}","description":"{}"}})", name(n, 12),
                          name(n * 5, 60))};
    case 16:
    case 17:
      return {"app.bsky.feed.post",
              fmt::format(
                  R"({{"$type":"app.bsky.feed.post","text":"{}","reply":{{"root":{{"cid":"{}","uri":"{}"}},"parent":{{)"
                  R"("cid":"{}","uri":"{}"}}}},"langs":["en"],"createdAt":"{}"}})",
                  name(n * 11, 90), cid, post(n + 1), cid, post(n + 2), when)};
    default:
      return {"app.bsky.feed.post",
              fmt::format(R"({{"$type":"app.bsky.feed.post","text":"{}","facets":[{{"index":{{"byteEnd":20,)"
                          R"("byteStart":0}},"features":[{{"$type":"app.bsky.richtext.facet#link",)"
                          R"("uri":"https://example.org/{}"}}]}}],"langs":["en"],"createdAt":"{}"}})",
                          name(n * 13, 120), name(n, 8), when)};
  }
}

task<> fill(nats::connection& nc, std::uint64_t records, std::uint64_t rate) {
  auto store = co_await kv::open_store(nc, "record", 16, 1);
  if (!store) give_up(store.error());
  meters counters;
  nats::publisher out(nc, {.name = "fill", .stream = "KV_record"}, counters);
  out.attach(store->store);
  nursery watches(co_await asio::this_coro::executor);
  out.start(watches);
  const auto first = store->store.last_seq;
  const auto began = steady_clock::now();
  for (std::uint64_t i = 0; i < records; ++i) {
    const auto n = first + i;
    auto r = record(n);
    const bool profile = r.collection == "app.bsky.actor.profile";
    const auto account = profile ? n : mixed(n) % 200'000;
    const auto key =
        kv::record_key::of(did(account), r.collection, profile ? "self" : "3k" + name(mixed(n), 11)).text();
    nats::header_list headers;
    headers.push_back({"cid", "bafyrei" + name(mixed(n * 7), 52)});
    headers.push_back({"rev", "3k" + name(mixed(n), 11)});
    headers.push_back({"time", timestamp_now()});
    headers.push_back({"op", "create"});
    auto put = co_await out.put("$KV.record." + key, std::move(headers), std::move(r.json));
    if (!put) give_up(put.error());
    if (rate != 0 && i % (rate / 500 + 1) == 0) {  // five hundred times a second it looks whether it is too early
      asio::steady_timer until(co_await asio::this_coro::executor,
                               began + std::chrono::microseconds(i * 1'000'000 / rate));
      co_await until.async_wait(use_task);
    }
  }
  while (out.in_flight() > 0) co_await out.moved().wait();
  const std::chrono::duration<double> took = steady_clock::now() - began;
  fmt::print("{:.0f}\n", static_cast<double>(records) / took.count());
  out.close();
  co_await watches.join();
}

task<> read(nats::connection& nc, std::string subject) {
  auto facts = co_await nats::jetstream_facts(nc);
  if (!facts) give_up(facts.error());
  meters counters;
  nats::consumer_spec spec{.stream = "KV_record",
                           .policy = nats::acks::all,
                           .once = true,
                           .credit = 32'768,
                           .max_bytes = std::size_t{32} << 20};
  spec.filters.push_back(std::move(subject));
  nats::pull_consumer from(nc, std::move(spec), counters, facts->api_level);
  const auto began = steady_clock::now();
  if (auto attached = co_await from.attach(); !attached) give_up(attached.error());
  std::uint64_t taken = 0;
  while (from.pending() > 0) {
    auto batch = co_await from.next();
    if (!batch && batch.error().code == errc::closed) break;
    if (!batch) give_up(batch.error());
    taken += batch->size();
    from.settle(batch->back());
  }
  const std::chrono::duration<double> took = steady_clock::now() - began;
  fmt::print("{:.0f}\n", static_cast<double>(taken) / took.count());
  (void)co_await nats::api(nc, "CONSUMER.DELETE.KV_record." + from.name());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 2 ? argv[2] : "";
  if (!(what == "fill" && argc == 5) && !(what == "read" && argc == 4)) {
    fmt::print(stderr, "usage: bench-view-store NATS_URL fill RECORDS RATE | NATS_URL read SUBJECT\n");
    return 2;
  }
  log::set_level(log::level::warn);
  asio::io_context io(1);
  nats::connection nc(io);
  if (auto started = nc.start({.url = argv[1]}); !started) give_up(started.error());
  auto work = what == "fill" ? fill(nc, std::strtoull(argv[3], nullptr, 10), std::strtoull(argv[4], nullptr, 10))
                             : read(nc, argv[3]);
  asio::co_spawn(io, std::move(work), [&io](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
    io.stop();
  });
  io.run();
}
