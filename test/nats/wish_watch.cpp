// Rule X17: what persons want reaches the stage that owns the account, once, and is not lost.
#include "repair/wish_watch.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"

#include <algorithm>
#include <deque>
#include <set>

using namespace recordkv;
using namespace recordkv::test;

namespace {

const std::string alice = "did:plc:44ybard66vv44zksje25o7dz", bob = "did:plc:abcdefghijklmnopqrstuvwx",
                  carol = "did:plc:cdefghijklmnopqrstuvwxyz";

struct watch_rig : nats_rig {
  watch_rig() { REQUIRE(run(kv::open_store(nc, "record", 16, 1)).has_value()); }
  // The watch lives in the frame of this rig: it ends before the loop stops.
  ~watch_rig() { stop(); }

  void start() {
    ended = false;
    auto mine = [this](const std::string& did) { return !foreign.contains(did); };
    auto fulfil = [this](kv::wish w) { return carry_out(this, std::move(w)); };
    watch = std::make_unique<stages::wish_watch>(ctx, mine, fulfil);
    asio::co_spawn(io, watch->run(), [this](std::exception_ptr) { ended = true; });
  }
  void stop() {
    if (!watch) return;
    watch->close();
    held = false;
    released.notify();
    CHECK(waits_for([&] { return ended; }));
    watch.reset();
  }
  static task<result<void>> carry_out(watch_rig* self, kv::wish w) {
    ++self->begun;
    while (self->held) co_await self->released.wait();
    if (!self->failures.empty()) {
      const auto code = self->failures.front();
      self->failures.pop_front();
      co_return fail(code, "not now");
    }
    self->done.push_back(fmt::format("{} {}", kv::name(w.what), w.did));
    co_return result<void>{};
  }

  std::uint64_t wish(const std::string& did, kv::wish_kind what) {
    auto seq = run(kv::make_wish(repo, {.did = did, .what = what}));
    if (!seq) FAIL(seq.error().text);
    return *seq;
  }
  bool stands(const std::string& did) {
    auto e = run(repo.get(kv::wish_key(did)));
    if (!e && e.error().code != errc::not_found) FAIL(e.error().text);
    return e && !e->deleted;
  }
  bool becomes_done(std::size_t n) {
    return waits_for([&] { return done.size() >= n; });
  }
  bool goes(const std::string& did) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (stands(did))
      if (std::chrono::steady_clock::now() > until) return false;
    return true;
  }
  std::size_t consumers() { return run(nats::consumer_names(nc, "KV_repo"))->size(); }
  std::size_t lines(std::string_view part) const {
    return static_cast<std::size_t>(std::ranges::count_if(log.lines, [&](const auto& l) { return l.contains(part); }));
  }

  config cfg;
  meters counted;
  stage_context ctx{nc, cfg, counted, {.api_level = api_level()}};
  kv::bucket repo{nc, "repo"};
  std::set<std::string> foreign;
  words done;
  std::deque<errc> failures;
  int begun = 0;
  bool held = false, ended = false;
  event released;
  std::unique_ptr<stages::wish_watch> watch;
};

}  // namespace

TEST_CASE("X17: wishes from before the start and from later are fulfilled in order, and removed") {
  watch_rig rig;
  rig.wish(bob, kv::wish_kind::remove);
  rig.wish(alice, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.becomes_done(2));
  rig.wish(bob, kv::wish_kind::resync);
  REQUIRE(rig.becomes_done(3));
  CHECK(rig.done == words{"remove " + bob, "add " + alice, "resync " + bob});
  CHECK(rig.goes(alice));
  CHECK(rig.goes(bob));
  CHECK(rig.watch->fulfilled() == 3);
  rig.stop();
  CHECK(rig.consumers() == 0);

  rig.start();  // a removed wish is a delete marker: it is not carried out again
  rig.wish(alice, kv::wish_kind::resync);
  REQUIRE(rig.becomes_done(4));
  CHECK(rig.done.back() == "resync " + alice);
}

TEST_CASE("X17: of two wishes for an account the newer one counts") {
  watch_rig rig;
  rig.wish(alice, kv::wish_kind::add);
  rig.wish(alice, kv::wish_kind::remove);
  rig.start();
  REQUIRE(rig.becomes_done(1));
  CHECK(rig.goes(alice));
  CHECK(rig.done == words{"remove " + alice});
}

TEST_CASE("X17: a wish that replaces another one while that is carried out is not lost") {
  watch_rig rig;
  rig.held = true;
  rig.wish(alice, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.waits_for([&] { return rig.begun == 1; }));
  rig.wish(alice, kv::wish_kind::remove);
  rig.held = false;
  rig.released.notify();
  REQUIRE(rig.becomes_done(2));
  CHECK(rig.done == words{"add " + alice, "remove " + alice});
  CHECK(rig.goes(alice));
}

TEST_CASE("X17: wishes for other accounts do not wait for one that is carried out") {
  watch_rig rig;
  rig.held = true;
  rig.wish(alice, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.waits_for([&] { return rig.begun == 1; }));
  rig.wish(bob, kv::wish_kind::add);
  REQUIRE(rig.waits_for([&] { return rig.begun == 2; }));
  rig.wish(alice, kv::wish_kind::remove);
  rig.wish(alice, kv::wish_kind::resync);
  rig.wish(carol, kv::wish_kind::add);
  rig.held = false;
  rig.released.notify();
  REQUIRE(rig.waits_for([&] { return std::ranges::find(rig.done, "resync " + alice) != rig.done.end(); }));
  CHECK(std::ranges::find(rig.done, "add " + alice) < std::ranges::find(rig.done, "resync " + alice));
  for (const auto& did : {alice, bob, carol}) CHECK(rig.goes(did));
}

TEST_CASE("X17: a wish for an account of another process stays for that process") {
  watch_rig rig;
  rig.foreign.insert(alice);
  rig.wish(alice, kv::wish_kind::add);
  rig.wish(bob, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.becomes_done(1));
  CHECK(rig.goes(bob));
  CHECK(rig.done == words{"add " + bob});
  CHECK(rig.stands(alice));
}

TEST_CASE("X17: a wish that can't be read is reported once, left alone, and holds up no other one") {
  watch_rig rig;
  const auto key = kv::wish_key(alice);
  rig.publish("$KV.repo." + key, "{");
  rig.publish("$KV.repo.want.nonsense", "{}");
  rig.publish("$KV.repo.want.did/3Aweb/3Ax", kv::to_json(kv::wish{.did = alice}));  // not the account of its key
  rig.wish(bob, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.becomes_done(1));
  CHECK(rig.goes(bob));
  rig.restart_server();  // all are read again
  rig.wish(bob, kv::wish_kind::resync);
  REQUIRE(rig.becomes_done(2));
  for (const auto& k : {key, std::string("want.nonsense"), std::string("want.did/3Aweb/3Ax")}) {
    INFO(k);
    CHECK(rig.lines(fmt::format("nats kv del repo {})", k)) == 1);
  }
  CHECK(rig.stands(alice));
}

TEST_CASE("X17: what fails is tried again, and reported at intervals") {
  watch_rig rig;
  rig.failures = {errc::timed_out, errc::timed_out};
  rig.wish(alice, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.becomes_done(1));
  CHECK(rig.goes(alice));
  CHECK(rig.begun == 3);
  CHECK(rig.lines("wish add of " + alice) == 1);
}

TEST_CASE("X17: a wish that was replaced while it failed is given up for the newer one") {
  watch_rig rig;
  rig.held = true;
  rig.failures = {errc::timed_out};
  rig.wish(alice, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.waits_for([&] { return rig.begun == 1; }));
  rig.wish(alice, kv::wish_kind::remove);
  rig.held = false;
  rig.released.notify();
  REQUIRE(rig.becomes_done(1));
  CHECK(rig.done == words{"remove " + alice});
}

TEST_CASE("X17: when the stage stops, the wish stays") {
  watch_rig rig;
  rig.failures = {errc::closed};
  rig.wish(alice, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.waits_for([&] { return rig.ended; }));
  CHECK(rig.stands(alice));
  rig.start();
  REQUIRE(rig.becomes_done(1));
  CHECK(rig.goes(alice));
}

TEST_CASE("X17: close() ends the pause after a failure") {
  watch_rig rig;
  rig.failures.assign(1000, errc::timed_out);
  rig.wish(alice, kv::wish_kind::add);
  rig.start();
  REQUIRE(rig.waits_for([&] { return rig.logged("wish add of"); }));
  rig.stop();
  CHECK(rig.stands(alice));
}

TEST_CASE("X17: a server that dies while a wish is carried out costs nothing") {
  watch_rig rig;
  rig.held = true;
  rig.wish(alice, kv::wish_kind::add);
  rig.wish(bob, kv::wish_kind::remove);
  rig.start();
  REQUIRE(rig.waits_for([&] { return rig.begun == 2; }));
  rig.server.kill_9();
  REQUIRE(rig.waits_for([&] { return !rig.nc.up(); }));
  rig.held = false;
  rig.released.notify();
  REQUIRE(rig.becomes_done(2));
  rig.server.start();
  REQUIRE(rig.waits_for([&] { return rig.nc.up(); }));
  CHECK(rig.goes(alice));
  CHECK(rig.goes(bob));
  std::ranges::sort(rig.done);
  CHECK(rig.done == words{"add " + alice, "remove " + bob});  // only the removal of the key was tried again
}

TEST_CASE("X17: a bucket that is away is waited for") {
  watch_rig rig;
  rig.start();
  rig.wish(alice, kv::wish_kind::add);
  REQUIRE(rig.becomes_done(1));
  rig.remove("KV_repo");
  REQUIRE(rig.run(rig.repo.open()).has_value());
  rig.wish(bob, kv::wish_kind::add);
  REQUIRE(rig.becomes_done(2));
  CHECK(rig.done.back() == "add " + bob);
}
