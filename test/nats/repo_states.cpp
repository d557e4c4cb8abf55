// The accounts' states on a real server: reading all of them, and which accounts are known to have none.
#include "repo_states.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"

#include <map>

using namespace recordkv;
using namespace recordkv::test;

namespace {

struct states_rig : nats_rig {
  states_rig() { REQUIRE(run(kv::open_store(nc, "record", 16, 1)).has_value()); }
  auto load(words dids) { return run(states.port().load(std::move(dids))); }
  void write(const std::string& did, std::string value) { publish(subject(did), std::move(value)); }
  static std::string subject(const std::string& did) { return "$KV.repo." + kv::repo_key(did, 16); }

  config cfg;
  meters counted;
  stats_board board;
  stage_context ctx{nc, cfg, counted, {.api_level = api_level()}, &board};
  stages::lifecycle life{ctx, "kv", kv::lease_spec{.base = "kv"}, {}};
  stages::repo_states states{life, true};
};

const std::string alice = "did:plc:44ybard66vv44zksje25o7dz", bob = "did:plc:abcdefghijklmnopqrstuvwx";
const std::string rev = "3kabcdefgh222";

}  // namespace

// A state that is written while all are read stands behind the end of that reading. Here it is absent meanwhile.
TEST_CASE("an account whose state was read once has begun, whether or not the reading of all of them met it") {
  states_rig rig;
  const auto state = kv::to_json({.did = alice, .rev = rev});
  rig.write(alice, state);
  REQUIRE(rig.load({alice}).front().has_value());
  rig.api("STREAM.PURGE.KV_repo", fmt::format(R"({{"filter":"{}"}})", rig.subject(alice)));
  REQUIRE(rig.info("KV_repo").messages == 1);  // key meta
  bool learnt = false;
  asio::co_spawn(rig.io, rig.states.learn_known_accounts([] { return true; }, [](const std::string&, std::int64_t) {}),
                 [&](std::exception_ptr, result<void> read) { learnt = read.has_value(); });
  REQUIRE(rig.waits_for([&] { return learnt; }));
  rig.write(alice, state);

  const auto again = rig.load({alice});
  REQUIRE(again.front().has_value());
  CHECK(again.front()->state.rev == rev);
  CHECK(again.front()->seq > 0);
  rig.write(bob, state);  // only this stage writes states: it is not looked for
  CHECK(rig.load({bob}).front()->seq == 0);
}

TEST_CASE("a state that can't be read is the fault of its account alone") {
  states_rig rig;
  rig.write(alice, kv::to_json({.did = alice, .rev = rev}));
  rig.write(bob, "no JSON");
  const auto found = rig.load({bob, alice});
  REQUIRE(found.size() == 2);
  CHECK(found[0].error().code == errc::malformed);
  CHECK(found[1]->state.rev == rev);
}

TEST_CASE("the keys of bucket repo that belong to no account are no states") {
  states_rig rig;
  rig.write(alice, kv::to_json({.did = alice, .rev = rev}));
  rig.publish("$KV.repo.at.3", "{}");
  rig.publish("$KV.repo.want." + kv::encode_part(bob), "{}");
  kv::known_accounts known;
  REQUIRE(rig.run(kv::read_known_accounts(rig.nc, "record", rig.api_level(), rig.counted, known, [] { return true; })));
  CHECK(known.size() == 1);
  CHECK(known.contains(kv::encode_part(alice)));

  CHECK(kv::account_of_repo_key(kv::repo_key(alice, 16)) == kv::encode_part(alice));
  CHECK(kv::account_of_repo_key(kv::repo_key(bob, 256)) == kv::encode_part(bob));
  for (const auto* key : {"", "meta", "1", "at.a", "1.", ".did/3Aplc/3Aa", "1.did", "1.did/3Aplc/3Aa.b", "g.did/3Aa"})
    CHECK(kv::account_of_repo_key(key).empty());
}

TEST_CASE("a state that is written while all are read is read as well, with its value when that is asked for") {
  states_rig rig;
  rig.write(alice, kv::to_json({.did = alice, .rev = rev}));
  asio::io_context aside;  // the other loop writes while the reading stands still
  nats::connection other(aside);
  REQUIRE(other.start({.url = rig.server.url()}));
  std::map<std::string, std::string, std::less<>> read;
  auto show = [&](std::string_view account, const nats::message& m) {
    read.emplace(account, m.data());
    kv::write late{.key = kv::repo_key(bob, 16), .value = kv::to_json({.did = bob, .rev = rev})};
    if (read.size() == 1) REQUIRE(run_coroutine(aside, kv::bucket(other, "repo").update(std::move(late)))->has_value());
  };
  REQUIRE(rig.run(kv::read_states(rig.nc, "record", rig.api_level(), rig.counted, kv::state_parts::headers_and_value,
                                  std::move(show))));
  REQUIRE(read.size() == 2);
  CHECK(kv::parse_repo_state(read.at(kv::encode_part(bob)))->did == bob);
}
