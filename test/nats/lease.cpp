// Rule X7: one process at a time does what must not be done twice.
#include "recordkv/kv/lease.hpp"

#include "../support/nats_process.hpp"

#include <boost/json.hpp>

#include <sys/wait.h>
#include <unistd.h>

using namespace recordkv;
using namespace recordkv::test;
using kv::process_identity;

namespace {

/// A key's value as another process writes it.
std::string held_by(const process_identity& who) {
  return fmt::format(R"({{"id":"{}","host":"{}","pid":{},"started":{},"since":"s","renewed":"r","report":{{}}}})",
                     who.id, who.host, who.pid, who.started);
}

const process_identity elsewhere{.id = "another", .host = "another host", .pid = 1, .started = 1};

struct lease_rig : nats_rig {
  lease_rig() { REQUIRE(run(lock.open()).has_value()); }
  std::uint64_t write(const process_identity& who, std::uint64_t expected = 0) {
    kv::write w{.key = "kv", .value = held_by(who), .expected = expected};
    auto done = run(lock.update(std::move(w)));
    if (!done) FAIL(done.error().text);
    return *done;
  }
  kv::entry key() {
    auto e = run(lock.get("kv"));
    if (!e) FAIL(e.error().text);
    return *e;
  }
  auto timed_acquire(kv::lease& o) {
    const auto from = std::chrono::steady_clock::now();
    auto got = run(o.acquire());
    return std::pair(std::move(got), std::chrono::steady_clock::now() - from);
  }
  /// Ends `o` and its renewing.
  void release(kv::lease& o) {
    run(released(o));
    REQUIRE(waits_for([this] { return children.empty(); }));
  }
  static task<result<void>> released(kv::lease& o) {
    co_await o.release();
    co_return result<void>{};
  }
  kv::bucket lock{nc, "lock"};
  nursery children{io.get_executor()};
};

boost::json::object report() { return {{"stage", "kv"}}; }
constexpr auto at_once = std::chrono::seconds(3);  // generous; a lease is longer

task<result<void>> keep_renewing(kv::bucket& lock, bool& stop, std::uint64_t seq) {
  event pause;
  while (!stop) {
    kv::write w{.key = "kv", .value = held_by(elsewhere), .expected = seq};
    auto done = co_await lock.update(std::move(w));
    if (done) seq = *done;
    co_await pause.wait_for(500ms);
  }
  co_return result<void>{};
}

}  // namespace

TEST_CASE("X7: a key that nobody holds is taken at once and says who holds it") {
  lease_rig rig;
  kv::lease o(rig.nc, {"kv"}, report);
  const auto [got, took] = rig.timed_acquire(o);
  REQUIRE(got.has_value());
  CHECK(took < at_once);
  const auto value = boost::json::parse(rig.key().value).as_object();
  CHECK(value.at("id").as_string() == process_identity::self().id);
  CHECK(value.at("pid").as_int64() == ::getpid());
  CHECK(value.at("report").as_object().at("stage").as_string() == "kv");
}

TEST_CASE("X7: a key that is renewed stays with its holder") {
  lease_rig rig;
  bool stop = false;
  asio::co_spawn(rig.io, keep_renewing(rig.lock, stop, rig.write(elsewhere)), [](std::exception_ptr, result<void>) {});
  kv::lease o(rig.nc, {"kv"}, report);
  const auto [got, took] = rig.timed_acquire(o);
  stop = true;
  REQUIRE(got.has_error());
  CHECK(got.error().code == errc::lease_lost);
  CHECK(got.error().text.find("another host") != std::string::npos);
  CHECK(took < kv::lease::period + at_once);
  CHECK(boost::json::parse(rig.key().value).at("id").as_string() == "another");
  rig.waits_for([&] { return false; }, 600ms);  // lets the other one end
}

TEST_CASE("X7: a key that is not renewed is taken over after a lease, not before") {
  lease_rig rig;
  rig.write(elsewhere);
  kv::lease o(rig.nc, {"kv"}, report);
  const auto [got, took] = rig.timed_acquire(o);
  REQUIRE(got.has_value());
  CHECK(took >= kv::lease::period);
  CHECK(boost::json::parse(rig.key().value).at("id").as_string() == process_identity::self().id);
}

TEST_CASE("X7: of a process that died on this host nothing is waited for") {
  lease_rig rig;
  auto gone = process_identity::self();
  gone.id = "gone";
  SECTION("its pid is free") {
    const int child = ::fork();
    if (child == 0) ::_exit(0);
    ::waitpid(child, nullptr, 0);
    gone.pid = child;
  }
  SECTION("its pid belongs to a younger process") { gone.started -= 1; }
  CHECK(gone.certainly_dead());
  rig.write(gone);
  kv::lease o(rig.nc, {"kv"}, report);
  const auto [got, took] = rig.timed_acquire(o);
  REQUIRE(got.has_value());
  CHECK(took < at_once);
}

TEST_CASE("X7: who lives, or ran elsewhere, is not certainly dead") {
  CHECK_FALSE(process_identity::self().certainly_dead());
  CHECK_FALSE(elsewhere.certainly_dead());
  CHECK_FALSE(process_identity{}.certainly_dead());
}

TEST_CASE("X7: a key that was given back is taken at once") {
  lease_rig rig;
  const auto seq = rig.write(elsewhere);
  kv::write w{.key = "kv", .expected = seq};
  w.headers.push_back({"KV-Operation", "DEL"});
  REQUIRE(rig.run(rig.lock.update(std::move(w))).has_value());
  kv::lease o(rig.nc, {"kv"}, report);
  const auto [got, took] = rig.timed_acquire(o);
  REQUIRE(got.has_value());
  CHECK(took < at_once);
  o.start(rig.children, [] {});
  rig.release(o);
  CHECK(rig.key().deleted);
}

TEST_CASE("X7: the key is renewed while it is held, with the report of the moment") {
  lease_rig rig;
  int asked = 0;
  kv::lease o(rig.nc, {"kv"}, [&] { return boost::json::object{{"n", ++asked}}; });
  REQUIRE(rig.run(o.acquire()).has_value());
  const auto first = rig.key().seq;
  o.start(rig.children, [] {});
  REQUIRE(rig.waits_for([&] { return asked >= 3; }));
  REQUIRE(rig.run(rig.nc.flush()).has_value());
  CHECK(rig.key().seq > first);
  CHECK_FALSE(o.lost());
  rig.release(o);
}

TEST_CASE("X7: whose key was taken over learns of it and steps down") {
  lease_rig rig;
  kv::lease o(rig.nc, {"kv"}, report);
  REQUIRE(rig.run(o.acquire()).has_value());
  int lost = 0;
  o.start(rig.children, [&] { ++lost; });
  rig.write(elsewhere, rig.key().seq);
  REQUIRE(rig.waits_for([&] { return lost > 0; }));
  CHECK(o.lost());
  REQUIRE(rig.waits_for([&] { return rig.children.empty(); }));
  CHECK(lost == 1);
  rig.release(o);  // gives nothing back that is not its own
  CHECK_FALSE(rig.key().deleted);
  CHECK(boost::json::parse(rig.key().value).at("id").as_string() == "another");
}

TEST_CASE("X7: a renewal that NATS refuses does not say that another has it") {
  lease_rig rig;
  kv::lease o(rig.nc, {"kv"}, report);
  REQUIRE(rig.run(o.acquire()).has_value());
  rig.update("KV_lock", R"({"max_msg_size":10})");  // as a full disk does
  REQUIRE(rig.waits_for([&] { return !o.valid(); }));
  CHECK(rig.run(o.renew_if_stale()).error().code == errc::unreachable);
  rig.update("KV_lock", R"({"max_msg_size":-1})");
  CHECK(rig.run(o.renew_if_stale()).has_value());
}

TEST_CASE("X7: who stands by takes it, too, when the bucket was removed meanwhile") {
  lease_rig rig;
  bool stop = false;
  asio::co_spawn(rig.io, keep_renewing(rig.lock, stop, rig.write(elsewhere)), [](std::exception_ptr, result<void>) {});
  kv::lease o(rig.nc, {"kv"}, report);
  std::optional<result<void>> mine;
  asio::co_spawn(rig.io, o.acquire(kv::lease::wait_policy::stand_by),
                 [&](std::exception_ptr, result<void> r) { mine = r; });
  REQUIRE(rig.waits_for([&] { return o.standing_by(); }));
  stop = true;
  REQUIRE(rig.run(kv::remove_stream(rig.nc, "KV_lock")).has_value());
  REQUIRE(rig.waits_for([&] { return mine.has_value(); }));
  CHECK(mine->has_value());
  CHECK(boost::json::parse(rig.key().value).at("id").as_string() == process_identity::self().id);
}

TEST_CASE("X7: of two that want it at the same time one gets it") {
  lease_rig rig;
  kv::lease o(rig.nc, {"kv"}, report);
  std::optional<result<void>> mine;
  rig.write(elsewhere);
  asio::co_spawn(rig.io, o.acquire(), [&](std::exception_ptr, result<void> r) { mine = r; });
  REQUIRE(rig.waits_for([&] { return rig.logged("waiting 5 s"); }));
  auto third = elsewhere;
  third.id = "third";
  rig.write(third, rig.key().seq);  // the other process that waited
  REQUIRE(rig.waits_for([&] { return mine.has_value(); }));
  REQUIRE(mine->has_error());
  CHECK(mine->error().code == errc::lease_lost);
}

TEST_CASE("X7: a key given back while its renewal is on its way is given back all the same") {
  lease_rig rig;
  kv::lease* mine = nullptr;
  int asked = 0;
  // The report is asked for a moment before the renewal leaves: released from there, both are on their way.
  kv::lease o(rig.nc, {"kv"}, [&] {
    if (++asked == 2) asio::post(rig.io, [&] { rig.children.spawn(lease_rig::released(*mine)); });
    return boost::json::object();
  });
  mine = &o;
  REQUIRE(rig.run(o.acquire()).has_value());
  o.start(rig.children, [] {});
  REQUIRE(rig.waits_for([&] { return asked == 2 && rig.children.empty(); }));
  CHECK(rig.key().deleted);
}
