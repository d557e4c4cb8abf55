// The accounts' states on a real server: which of them are known to have none.
#include "repo_states.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"

using namespace recordkv;
using namespace recordkv::test;

// A state that is written while all are read stands behind the end of that reading. Here it is absent meanwhile.
TEST_CASE("an account whose state was read once has begun, whether or not the reading of all of them met it") {
  nats_rig rig;
  REQUIRE(rig.run(kv::open_store(rig.nc, "record", 16, 1)).has_value());
  const std::string did = "did:plc:44ybard66vv44zksje25o7dz", other = "did:plc:abcdefghijklmnopqrstuvwx";
  const auto subject = "$KV.repo." + kv::repo_key(did, 16);
  const auto state = kv::to_json({.did = did, .rev = "3kabcdefgh222"});
  rig.publish(subject, state);

  config cfg;
  meters counters;
  stats_board board;
  stage_context ctx{rig.nc, cfg, counters, {.api_level = rig.api_level()}, &board};
  stages::lifecycle life(ctx, "kv", kv::lease_spec{.base = "kv"}, {});
  stages::repo_states states(life);
  const auto load = [&](std::string of) {
    words dids;
    dids.push_back(std::move(of));
    return rig.run(states.port().load(std::move(dids)));
  };

  REQUIRE(load(did).front().has_value());
  rig.api("STREAM.PURGE.KV_repo", fmt::format(R"({{"filter":"{}"}})", subject));
  REQUIRE(rig.info("KV_repo").messages == 1);  // key meta
  bool learnt = false;
  asio::co_spawn(rig.io, states.learn_known_accounts([] { return true; }), [&](std::exception_ptr) { learnt = true; });
  REQUIRE(rig.waits_for([&] { return learnt; }));
  rig.publish(subject, state);

  const auto again = load(did);
  REQUIRE(again.front().has_value());
  CHECK(again.front()->state.rev == "3kabcdefgh222");
  CHECK(again.front()->seq > 0);
  rig.publish("$KV.repo." + kv::repo_key(other, 16), state);  // only this stage writes states: it is not looked for
  CHECK(load(other).front()->seq == 0);
}

TEST_CASE("a state that can't be read is the fault of its account alone") {
  nats_rig rig;
  REQUIRE(rig.run(kv::open_store(rig.nc, "record", 16, 1)).has_value());
  const std::string good = "did:plc:44ybard66vv44zksje25o7dz", damaged = "did:plc:abcdefghijklmnopqrstuvwx";
  rig.publish("$KV.repo." + kv::repo_key(good, 16), kv::to_json({.did = good, .rev = "3kabcdefgh222"}));
  rig.publish("$KV.repo." + kv::repo_key(damaged, 16), "no JSON");
  config cfg;
  meters counters;
  stats_board board;
  stage_context ctx{rig.nc, cfg, counters, {.api_level = rig.api_level()}, &board};
  stages::lifecycle life(ctx, "kv", kv::lease_spec{.base = "kv"}, {});
  stages::repo_states states(life);
  words dids;
  dids.push_back(damaged);
  dids.push_back(good);
  const auto found = rig.run(states.port().load(std::move(dids)));
  REQUIRE(found.size() == 2);
  CHECK(found[0].error().code == errc::malformed);
  CHECK(found[1]->state.rev == "3kabcdefgh222");
}
