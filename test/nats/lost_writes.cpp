// X20: writes that NATS took back are noticed at an attach and after a reconnect, and lead to marks. A real server,
// whose streams are set back to an older copy.
#include "repair/lost_writes.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "repo_states.hpp"

#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <map>

using namespace recordkv;
using namespace recordkv::test;
using namespace recordkv::stages;

namespace {

const std::string alice = "did:plc:44ybard66vv44zksje25o7dz", bob = "did:plc:abcdefghijklmnopqrstuvwx";

struct loss_rig : nats_rig {
  loss_rig() {
    REQUIRE(run(kv::open_store(nc, "record", 16, 1)).has_value());
    REQUIRE(run(life.acquire()).has_value());
    REQUIRE(kv::partition_of(alice) != kv::partition_of(bob));
  }

  /// The stage begins: a new object, as after a start.
  result<void> begin() {
    writes = std::make_unique<lost_writes>(life, inner ? *inner : states.port(), kv::partition_labels());
    writes->on_found = [this] { ++told; };
    return run(writes->attach());
  }
  /// A record of the account, and its state behind it.
  std::uint64_t write(const std::string& did, const std::string& rkey) {
    const auto subject = "$KV.record." + kv::record_key::of(did, "app.bsky.feed.like", rkey).text();
    const auto seq = publish(subject, "{}");
    writes->passed(subject, seq);
    auto& s = known[did];
    s.seq = run(states.port().load({did})).front()->seq;
    s.state.did = did;
    s.state.rev = rkey;
    s.state.at = seq;
    auto saved = run(writes->port().save({s}));
    if (!saved) FAIL(saved.error().text);
    s.seq = saved->front();
    return seq;
  }
  kv::repo_state state(const std::string& did) {
    auto found = run(states.port().load({did}));
    REQUIRE(found.front().has_value());
    return found.front()->state;
  }
  bool is_marked(const std::string& did) { return state(did).reasons == words{"taken_back"}; }
  std::string key_at(const std::string& did) {
    auto e = run(repo.get("at." + kv::partition_of(did)));
    return e ? e->value : std::string();
  }
  std::uint64_t generation() { return run(kv::read_meta(nc, "record"))->generation; }
  std::size_t lines(std::string_view part) const {
    return static_cast<std::size_t>(std::ranges::count_if(log.lines, [&](const auto& l) { return l.contains(part); }));
  }

  void restart(const std::function<void()>& how) {
    const auto before = nc.connects();
    how();
    REQUIRE(waits_for([&] { return nc.up() && nc.connects() > before; }));
    REQUIRE(run(life.renew_if_stale()).has_value());
  }
  void remember() {
    restart([this] { server.remember(); });
  }
  void set_back(const words& streams) {
    restart([this, &streams] { server.set_back(streams); });
  }

  config cfg;
  meters counted;
  stats_board board;
  stage_context ctx{nc, cfg, counted, {.api_level = api_level()}, &board};
  lifecycle life{ctx, "kv", kv::lease_spec{.base = "kv"}, {}};
  repo_states states{life, true};
  kv::bucket repo{nc, "repo"};
  std::optional<state_port> inner;  // instead of `states`
  std::map<std::string, state_port::stored> known;
  std::unique_ptr<lost_writes> writes;
  int told = 0;
};

using save_function = decltype(state_port::save);
task<result<std::vector<std::uint64_t>>> save_after_reading(loss_rig* rig, words* noted, save_function save,
                                                            std::vector<state_port::stored> s) {
  auto e = co_await rig->repo.get("at." + kv::partition_of(s.front().state.did));
  noted->push_back(e ? e->value : "");
  co_return co_await save(std::move(s));
}

}  // namespace

TEST_CASE("X20: the puts that a state vouches for are noted before the state is written") {
  loss_rig rig;
  std::vector<std::string> noted;
  rig.inner = rig.states.port();
  rig.inner->save = [&rig, &noted, save = rig.inner->save](std::vector<state_port::stored> s) {
    return save_after_reading(&rig, &noted, save, std::move(s));
  };
  REQUIRE(rig.begin());
  const auto first = rig.write(alice, "a");
  CHECK(last_puts::parse(noted.at(0)).kept().at(0).seq == first);
  CHECK(last_puts::parse(noted.at(0)).kept().at(0).key.ends_with(".a"));
  const auto second = rig.write(alice, "b");
  CHECK(last_puts::parse(noted.at(1)).kept().at(0).seq == second);
  const auto before = rig.info("KV_repo").last_seq;
  auto again = rig.run(rig.writes->port().save({rig.known[alice]}));
  REQUIRE(again.has_value());
  CHECK(rig.info("KV_repo").last_seq == before + 1);  // no put is new, so the state alone was written
}

TEST_CASE("X20: a store that was set back while nothing ran: those above what stands are marked, and a line says so") {
  loss_rig rig;
  rig.cfg.nats.sync_interval = 0ms;  // each put is kept
  REQUIRE(rig.begin());
  const auto stands = rig.write(alice, "a");
  rig.write(bob, "a");
  rig.remember();
  rig.write(bob, "b");
  const auto generation = rig.generation();
  rig.set_back({"KV_record"});

  REQUIRE(rig.begin());
  CHECK(rig.state(alice).status == "synchronised");
  CHECK(rig.is_marked(bob));
  CHECK(rig.generation() > generation);
  CHECK(rig.lines("has taken back writes") == 1);
  CHECK(
      rig.logged(fmt::format("taken back writes of bucket record, from sequence {} on, in 1 partition: 1 account is "
                             "marked (taken_back)",
                             stands + 2)));
  CHECK(last_puts::parse(rig.key_at(bob)).kept().front().seq == stands + 1);

  const auto raised = rig.generation();
  REQUIRE(rig.begin());  // once
  CHECK(rig.generation() == raised);
  CHECK(rig.lines("has taken back writes") == 1);
}

TEST_CASE("X20: if no put stands that is known, all accounts of the partition are marked, and no other") {
  loss_rig rig;
  REQUIRE(rig.begin());
  rig.write(alice, "a");
  rig.remember();
  REQUIRE(rig.begin());
  rig.write(bob, "a");
  rig.write(bob, "b");
  rig.set_back({"KV_record"});
  REQUIRE(rig.begin());
  CHECK(rig.is_marked(bob));
  CHECK_FALSE(rig.is_marked(alice));
  CHECK(last_puts::parse(rig.key_at(bob)).kept().empty());
}

TEST_CASE("X20: a plain restart, and a key that another program has written, show no loss") {
  loss_rig rig;
  REQUIRE(rig.begin());
  rig.write(alice, "a");
  const auto generation = rig.generation();
  rig.publish("$KV.record." + kv::record_key::of(alice, "app.bsky.feed.like", "a").text(), "another");
  rig.restart_server();
  REQUIRE(rig.waits_for([&] { return rig.nc.up(); }));
  CHECK_FALSE(rig.writes->stand());
  CHECK(rig.run(rig.writes->may_read()).has_value());
  CHECK(rig.writes->stand());
  rig.write(alice, "b");
  REQUIRE(rig.begin());
  CHECK(rig.generation() == generation);
  CHECK_FALSE(rig.is_marked(alice));
  CHECK(rig.told == 0);
}

TEST_CASE("X20: a kill before all marks are durable leads to the same marks at the next start") {
  loss_rig rig;
  REQUIRE(rig.begin());
  rig.write(alice, "a");
  rig.remember();
  REQUIRE(rig.begin());
  rig.write(bob, "a");
  rig.set_back({"KV_record"});
  const auto noted = rig.key_at(bob);
  rig.inner = rig.states.port();
  rig.inner->save = [](std::vector<state_port::stored>) -> task<result<std::vector<std::uint64_t>>> {
    co_return fail(errc::refused, "killed");
  };
  CHECK_FALSE(rig.begin());
  CHECK(rig.key_at(bob) == noted);
  CHECK_FALSE(rig.is_marked(bob));
  rig.inner.reset();
  REQUIRE(rig.begin());
  CHECK(rig.is_marked(bob));
}

TEST_CASE("X20: a loss that shows after a reconnect stops everything, although the store has grown again") {
  loss_rig rig;
  REQUIRE(rig.begin());
  rig.write(alice, "a");
  rig.remember();
  REQUIRE(rig.run(rig.writes->ask()));
  rig.write(bob, "a");
  SECTION("the store") {
    rig.set_back({"KV_record"});
    for (int i = 0; i < 3; ++i)
      rig.publish("$KV.record." + kv::record_key::of(alice, "app.bsky.feed.like", "by another").text(), "{}");
  }
  SECTION("the states") { rig.set_back({"KV_repo"}); }
  CHECK_FALSE(rig.writes->stand());
  const bool reads_first = GENERATE(true, false);
  if (reads_first) {
    const auto may = rig.run(rig.writes->may_read());
    REQUIRE(may.has_error());
    CHECK(may.error().code == errc::closed);
  }
  const auto saved = rig.run(rig.writes->port().save({rig.known[bob]}));
  REQUIRE(saved.has_error());
  CHECK(saved.error().code == errc::closed);
  CHECK(rig.writes->found());
  CHECK(rig.told == 1);
  CHECK_FALSE(rig.run(rig.writes->ask()));
  CHECK(rig.told == 1);
}

TEST_CASE("X20: nothing is read while the store can't be asked") {
  loss_rig rig;
  REQUIRE(rig.begin());
  rig.write(alice, "a");
  const auto before = rig.nc.connects();
  rig.restart_server();
  REQUIRE(rig.waits_for([&] { return rig.nc.up() && rig.nc.connects() > before; }));
  rig.server.kill_9();
  const auto may = rig.run(rig.writes->may_read());
  REQUIRE(may.has_error());
  CHECK(passes(may.error()));
  CHECK_FALSE(rig.writes->found());
}

TEST_CASE("X20: samples of messages that are gone don't make the store look like another one") {
  loss_rig rig;
  REQUIRE(rig.begin());
  rig.write(alice, "a");
  rig.remember();
  REQUIRE(rig.begin());
  rig.write(bob, "a");
  auto meta = *rig.run(kv::read_meta(rig.nc, "record"));
  const auto now = rig.info("KV_record");
  meta.samples = {{.seq = now.last_seq, .time = "2026-11-28T00:00:00Z"}};
  REQUIRE(rig.run(kv::write_meta(rig.nc, "record", meta)).has_value());
  rig.set_back({"KV_record"});
  REQUIRE(rig.begin());
  CHECK(rig.run(kv::read_meta(rig.nc, "record"))->samples.empty());
  rig.write(bob, "c");
  CHECK(rig.run(kv::open_store(rig.nc, "record", 16, 1)).has_value());
}

TEST_CASE("X20: a state is not written while the key is another process's") {
  loss_rig rig;
  REQUIRE(rig.begin());
  rig.write(alice, "a");
  rig.publish("$KV.repo.at." + kv::partition_of(alice), R"({"writer":"another","puts":[]})");
  const auto subject = "$KV.record." + kv::record_key::of(alice, "app.bsky.feed.like", "b").text();
  rig.writes->passed(subject, rig.publish(subject, "{}"));
  const auto saved = rig.run(rig.writes->port().save({rig.known[alice]}));
  REQUIRE(saved.has_error());
  CHECK(saved.error().code == errc::lease_lost);
}
