// One life for every part of a stage: acquire the lease, work, release it, report health meanwhile.
#include "recordkv/stage/lifecycle.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/bucket.hpp"

#include <boost/json.hpp>

using namespace recordkv;
using namespace recordkv::test;
using stages::lifecycle;

namespace {

struct life_rig : nats_rig {
  explicit life_rig(std::chrono::milliseconds start = 0ms) {
    ctx.start_until = std::chrono::steady_clock::now() + start;
    REQUIRE(run(lock.open()).has_value());
  }
  config cfg;
  meters counters;
  stats_board board;
  stage_context ctx{nc, cfg, counters, {.api_level = api_level()}, &board};
  kv::bucket lock{nc, "lock"};

  static kv::lease_spec spec() { return {.base = "kv"}; }
  bool key_stands() {
    auto e = run(lock.get("kv"));
    return e && !e->deleted;
  }
  boost::json::object key_value() {
    auto e = run(lock.get("kv"));
    if (!e) FAIL(e.error().text);
    return boost::json::parse(e->value).as_object();
  }
  /// As another process takes the key.
  void overwrite_key() {
    auto e = run(lock.get("kv"));
    kv::write w{.key = "kv", .value = R"({"id":"another","host":"h","pid":1,"started":1})", .expected = e->seq};
    if (!run(lock.update(std::move(w)))) overwrite_key();  // a renewal came between
  }
};

/// Work that ends when it is told to.
struct open_end {
  bool began = false, stopped = false;
  event wake;
  std::function<task<result<void>>(nursery&)> work() {
    return [this](nursery&) -> task<result<void>> {
      began = true;
      while (!stopped) co_await wake.wait();
      co_return result<void>{};
    };
  }
  void stop() {
    stopped = true;
    wake.notify();
  }
};

}  // namespace

TEST_CASE("the lease is held while the work runs, carries the part's report, and is given back at the end") {
  life_rig rig;
  open_end job;
  lifecycle life(rig.ctx, "kv", life_rig::spec(), {.describe = [](boost::json::object& o) { o["mine"] = 7; }});
  REQUIRE(rig.run(life.acquire()).has_value());
  const auto value = rig.key_value();
  CHECK(value.at("report").at("stage") == "kv");
  CHECK(value.at("report").at("mine") == 7);
  CHECK(value.at("report").at("state") == "starting");
  std::optional<result<void>> done;
  asio::co_spawn(rig.io, life.run(job.work(), "taken over"), [&](std::exception_ptr, result<void> r) { done = r; });
  REQUIRE(rig.waits_for([&] { return job.began; }));
  CHECK(rig.key_stands());
  job.stop();
  REQUIRE(rig.waits_for([&] { return done.has_value(); }));
  CHECK(done->has_value());
  CHECK_FALSE(rig.key_stands());
}

TEST_CASE("children of the work are joined after the lease was given back") {
  life_rig rig;
  lifecycle life(rig.ctx, "kv", life_rig::spec(), {});
  REQUIRE(rig.run(life.acquire()).has_value());
  bool child_ended = false;
  const auto child = [](bool& ended) -> task<> {
    event pause;
    co_await pause.wait_for(50ms);
    ended = true;
  };
  auto done = rig.run(life.run(
      [&](nursery& children) -> task<result<void>> {
        children.spawn(child(child_ended));
        co_return result<void>{};
      },
      "taken over"));
  CHECK(done.has_value());
  CHECK(child_ended);
}

TEST_CASE("a lost lease stops the work, and the result says so") {
  life_rig rig;
  open_end job;
  lifecycle life(rig.ctx, "kv", life_rig::spec(), {.stop = [&] { job.stop(); }});
  REQUIRE(rig.run(life.acquire()).has_value());
  std::optional<result<void>> done;
  asio::co_spawn(rig.io, life.run(job.work(), "another took over"),
                 [&](std::exception_ptr, result<void> r) { done = r; });
  REQUIRE(rig.waits_for([&] { return job.began; }));
  rig.overwrite_key();
  REQUIRE(rig.waits_for([&] { return done.has_value(); }));
  REQUIRE(done->has_error());
  CHECK(done->error().code == errc::lease_lost);
  CHECK(done->error().text == "another took over");
  CHECK(life.lost());
  CHECK(rig.key_stands());  // the other process's key is not removed
}

TEST_CASE("the work's own error is the result, and closed is none") {
  life_rig rig;
  for (const auto code : {errc::refused, errc::closed}) {
    lifecycle life(rig.ctx, "kv", life_rig::spec(), {});
    REQUIRE(rig.run(life.acquire()).has_value());
    auto done = rig.run(life.run([&](nursery&) -> task<result<void>> { co_return fail(code, "because"); }, "-"));
    CHECK(done.has_error() == (code == errc::refused));
    CHECK_FALSE(rig.key_stands());
  }
}

TEST_CASE("a start is tried again while NATS does not answer, but not after its time, and not after an answer") {
  const auto attempts_with = [](std::chrono::milliseconds start, errc code, unsigned failures) {
    life_rig rig(start);
    lifecycle life(rig.ctx, "kv", life_rig::spec(), {});
    unsigned attempts = 0;
    (void)rig.run(life.acquire([&]() -> task<result<void>> {
      if (++attempts <= failures) co_return fail(code, "no");
      co_return result<void>{};
    }));
    return std::pair(attempts, rig.key_stands());
  };
  CHECK(attempts_with(1min, errc::timed_out, 2) == std::pair(3u, true));
  CHECK(attempts_with(0ms, errc::timed_out, 2) == std::pair(1u, false));
  CHECK(attempts_with(1min, errc::mismatch, 2) == std::pair(1u, false));
}

TEST_CASE("close() ends the standing by with errc::closed") {
  life_rig rig(1min);
  kv::write held{.key = "kv", .value = R"({"id":"another","host":"h","pid":1,"started":1})"};
  REQUIRE(rig.run(rig.lock.update(std::move(held))).has_value());
  lifecycle second(rig.ctx, "kv", life_rig::spec(), {});
  std::optional<result<void>> done;
  asio::co_spawn(rig.io, second.acquire({}, kv::lease::wait_policy::stand_by),
                 [&](std::exception_ptr, result<void> r) { done = r; });
  REQUIRE(rig.waits_for([&] { return rig.logged("is held by process 1"); }));
  second.close();
  REQUIRE(rig.waits_for([&] { return done.has_value(); }));
  CHECK(done->error().code == errc::closed);
}

TEST_CASE("without a lease there is nothing to acquire, and the part stands on no board") {
  life_rig rig;
  lifecycle life(rig.ctx, "indexer", std::nullopt, {});
  CHECK(rig.run(life.acquire()).has_value());
  CHECK(life.valid());
  CHECK_FALSE(life.lost());
  CHECK(rig.board.read().empty());
  CHECK_FALSE(rig.key_stands());
}

TEST_CASE("health: the part's own stall shows while NATS is well, and ends with its reason") {
  life_rig rig;
  lifecycle life(rig.ctx, "kv", life_rig::spec(), {});
  life.note_health({cause::disk_full, "no room"});
  REQUIRE(life.stats().health.stalled());
  CHECK(life.stats().health.stalled()->what == cause::disk_full);
  life.note_health({});
  CHECK_FALSE(life.stats().health.stalled());
  rig.server.kill_9();
  REQUIRE(rig.waits_for([&] { return !rig.nc.up(); }));
  life.note_health({cause::disk_full, "no room"});
  CHECK(life.stats().health.stalled()->what == cause::nats_down);
}
