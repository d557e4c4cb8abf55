// What verified events, and those that can't be verified, do to their account's state.
#include "kv_verify_rig.hpp"
#include "recordkv/atproto/syntax.hpp"

using namespace recordkv;
using namespace recordkv::test;

namespace {

std::chrono::system_clock::time_point at_rev_5() {
  return std::chrono::system_clock::time_point(std::chrono::microseconds(atproto::tid_micros(rev(5))));
}

}  // namespace

TEST_CASE("X16: an account begins complete only if its first commit leads from the empty tree") {
  verify_rig rig;
  rig.start();
  rig.in.deliver({signed_frame{.from_empty = true, .no_prev_data = true}.bytes(),
                  signed_frame{.did = bob, .n = 3}.bytes(), signed_frame{.did = carol, .no_prev_data = true}.bytes()});
  REQUIRE(rig.settles(3));
  CHECK(rig.states.find(alice)->complete);
  CHECK_FALSE(rig.states.find(bob)->complete);
  CHECK_FALSE(rig.states.find(carol)->complete);
  for (const auto& did : {alice, bob, carol}) {
    CHECK(rig.states.find(did)->verified);
    CHECK(rig.states.find(did)->status == "synchronised");
    CHECK(rig.states.find(did)->begun == rig.states.find(did)->rev);
  }
  CHECK(rig.states.find(bob)->seen == rev(3));
}

TEST_CASE("X16: what can have no effect costs no look-up") {
  verify_rig rig;
  rig.rules.collections = {like};
  rig.rules.now = at_rev_5;
  rig.start();
  rig.in.deliver({signed_frame{.paths = {post + "/p"}}.bytes(), signed_frame{.n = 2}.sync(),
                  account_frame(alice, false, "takendown"), identity_frame(alice)});
  REQUIRE(rig.settles(4));
  CHECK(rig.ignored("unwanted") == 1);
  CHECK(rig.ignored("not_begun") == 2);
  CHECK(rig.directory.asked.empty());
  CHECK(rig.states.written.empty());
}

TEST_CASE("X8: repetitions cost no verdict") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 5));
  rig.start();
  rig.in.deliver({signed_frame{.n = 5, .signer = 'B'}.bytes(), signed_frame{.n = 4}.bytes(),
                  signed_frame{.n = 5, .signer = 'B'}.sync()});
  REQUIRE(rig.settles(3));
  CHECK(rig.ignored("older") == 3);
  CHECK(rig.skipped("bad_signature") == 0);
  CHECK(rig.counters.value("verdicts", "proven") == 0);
}

TEST_CASE("a verified break of the chain marks its account, and is applied all the same") {
  struct broken {
    signed_frame commit;
    std::string reason;
  };
  for (const auto& b : {broken{{.n = 4}, "gap"}, broken{{.n = 4, .no_prev_data = true}, "no_prev_data"}}) {
    INFO(b.reason);
    verify_rig rig;
    rig.states.stand(verified_at(alice, 2));
    rig.start();
    rig.in.deliver({b.commit.bytes(), signed_frame{.n = 5}.bytes()});
    REQUIRE(rig.settles(2));
    CHECK(rig.reasons(alice) == words{b.reason});
    CHECK(rig.faults("relay.example", b.reason) == 1);
    CHECK(rig.stored(alice, 5));
    CHECK(rig.out.sent.size() == 2);
    CHECK(rig.states.find(alice)->verified);
  }
}

TEST_CASE("X14: a signed commit whose tree does not prove its ops marks its account, and writes nothing") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 2));
  rig.start();
  rig.in.deliver(
      {signed_frame{.n = 3, .flawed = true}.bytes(), signed_frame{.did = bob, .n = 1, .flawed = true}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.out.sent.empty());
  CHECK(rig.counters.value("verdicts", "discontinuity") == 2);
  CHECK(rig.skipped("op_value") == 2);
  const auto* s = rig.states.find(alice);
  CHECK(rig.reasons(alice) == words{"op_value"});
  CHECK(s->rev == rev(2));
  CHECK(s->data == root(2));
  CHECK(s->seen == rev(3));
  CHECK(rig.reasons(bob) == words{"op_value"});  // it touches a wanted collection
  CHECK(rig.states.find(bob)->rev.empty());
  rig.in.deliver(signed_frame{.did = bob, .n = 2}.bytes());
  REQUIRE(rig.settles(3));
  CHECK(rig.stored(bob, 2));
  CHECK(rig.states.find(bob)->verified);
  CHECK(rig.reasons(bob) == words{"op_value"});
}

TEST_CASE("a state that was stored without verification is marked when an event touches it, and stays unverified") {
  verify_rig rig;
  rig.states.stand(state_at(alice, 2));
  rig.states.stand(state_at(bob, 2));
  rig.start();
  rig.in.deliver({signed_frame{.n = 3}.bytes(), signed_frame{.n = 4}.bytes(), signed_frame{.did = bob, .n = 3}.sync()});
  REQUIRE(rig.settles(3));
  CHECK(rig.reasons(alice) == words{"unverified"});
  CHECK(rig.apply->desynchronised() == 2);
  CHECK(rig.stored(alice, 4));
  CHECK_FALSE(rig.states.find(alice)->verified);
  CHECK(rig.faults("relay.example", "unverified") == 0);  // no host's fault
  CHECK(rig.reasons(bob) == words{"unverified", "sync"});
}

TEST_CASE("an event without proof is applied, and its account is no longer verified") {
  verify_rig rig;
  auto s = verified_at(alice, 2);
  s.data.clear();
  rig.states.stand(s);
  rig.in.headers = {{"source", "jetstream." + kv::encode_part("jetstream.example")}};
  SECTION("verified") { rig.start(); }
  SECTION("not verified at all") {
    rig.rules.verify = false;
    rig.start();
  }
  rig.in.deliver({event_of(alice, 3, "a"), event_of(bob, 1, "b")});
  REQUIRE(rig.settles(2));
  CHECK(rig.stored(alice, 3));
  CHECK_FALSE(rig.states.find(alice)->verified);
  CHECK_FALSE(rig.states.find(alice)->stale());
  CHECK_FALSE(rig.states.find(bob)->verified);
  CHECK_FALSE(rig.states.find(bob)->complete);
  CHECK(rig.directory.asked.empty());
}

TEST_CASE("a verified #sync: older, the same data, other data") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 5));
  rig.start();
  rig.in.deliver({signed_frame{.n = 5}.sync(), signed_frame{.n = 7, .tree = 5}.sync()});
  REQUIRE(rig.settles(2));
  CHECK(rig.ignored("older") == 1);
  CHECK(rig.stored(alice, 7));
  CHECK(rig.states.find(alice)->data == root(5));
  CHECK(rig.states.find(alice)->seen == rev(7));
  CHECK_FALSE(rig.states.find(alice)->stale());
  rig.in.deliver(signed_frame{.n = 8, .before = 5}.bytes());  // the chain goes on
  REQUIRE(rig.settles(3));
  CHECK_FALSE(rig.states.find(alice)->stale());
  rig.in.deliver(signed_frame{.n = 9}.sync());
  REQUIRE(rig.settles(4));
  CHECK(rig.reasons(alice) == words{"sync"});
  CHECK(rig.stored(alice, 8));
  CHECK(rig.states.find(alice)->data == root(8));
  CHECK(rig.states.find(alice)->seen == rev(9));
  CHECK(rig.counters.value("stream_events", "sync") == 3);
}

TEST_CASE("X11: of an inactive account nothing is applied until it is active again; then it is marked") {
  for (const auto* status : {"deactivated", "takendown", "suspended", "deleted", ""}) {
    INFO(status);
    verify_rig rig;
    rig.states.stand(verified_at(alice, 2));
    rig.start();
    rig.in.deliver({account_frame(alice, false, status), signed_frame{.n = 3}.bytes(), signed_frame{.n = 4}.sync()});
    REQUIRE(rig.settles(3));
    CHECK(rig.ignored("inactive") == 2);
    CHECK(rig.out.sent.empty());
    CHECK_FALSE(rig.states.find(alice)->stale());
    CHECK(rig.states.find(alice)->upstream_status == (*status ? status : "inactive"));
    rig.in.deliver({account_frame(alice, true), signed_frame{.n = 5, .before = 2}.bytes()});
    REQUIRE(rig.settles(5));
    CHECK(rig.reasons(alice) == words{"reactivated"});
    CHECK(rig.states.find(alice)->upstream_status.empty());
    CHECK(rig.stored(alice, 5));
  }
}

TEST_CASE("X11: a host that is behind, or holds back, does not make its accounts inactive") {
  for (const auto* status : {"desynchronized", "throttled"}) {
    INFO(status);
    verify_rig rig;
    rig.states.stand(verified_at(alice, 2));
    rig.start();
    rig.in.deliver({account_frame(alice, false, status), signed_frame{.n = 3}.bytes(), account_frame(alice, true)});
    REQUIRE(rig.settles(3));
    CHECK(rig.stored(alice, 3));
    CHECK_FALSE(rig.states.find(alice)->stale());
  }
}

TEST_CASE("where commits are signed, what is not signed marks no account") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 2));
  rig.start();
  auto torn = signed_frame{.n = 3}.made();
  torn.commit_block = cbor(R"({"not":"a commit"})");
  std::string word;
  SECTION("a frame that can't be decoded") {
    rig.in.deliver(torn.bytes());
    word = "invalid";
  }
  SECTION("ingest's marker of such a frame") {
    rig.in.deliver(fmt::format(R"({{"marker":"unreadable","did":"{}","reason":"carrier"}})", alice));
    word = "invalid";
  }
  SECTION("a late #account") {
    rig.in.headers.push_back({"late", "1"});
    rig.in.deliver(account_frame(alice, false, "takendown"));
    word = "late";
  }
  SECTION("a late commit of another key") {
    rig.in.headers.push_back({"late", "1"});
    rig.states.stand([] {
      auto s = verified_at(alice, 5);
      s.begun = s.rev;
      return s;
    }());
    rig.in.deliver(signed_frame{.n = 2, .signer = 'B'}.bytes());
    word = "bad_signature";
  }
  REQUIRE(rig.waits_for([&] { return !word.empty() && rig.in.settled.size() == 1; }));
  CHECK(rig.skipped(word) == 1);
  CHECK(rig.apply->desynchronised() == 0);
  CHECK(rig.states.written.empty());
  const auto& faults = rig.counters.of_hosts();
  CHECK(std::ranges::count_if(faults, [](const auto& f) { return std::get<1>(f.first) == "relay.example"; }) == 1);
}

TEST_CASE("a rev from the future is dropped before its signature is looked at") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 2));
  rig.rules.now = [] { return at_rev_5() - 1h; };
  rig.start();
  rig.in.deliver(signed_frame{.n = 3}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.skipped("future_rev") == 1);
  CHECK(rig.faults("relay.example", "future_rev") == 1);
  CHECK(rig.states.written.empty());
  CHECK(rig.counters.value("verdicts", "proven") == 0);
}

TEST_CASE("X8: a late commit that its account has signed, from before its beginning, marks the account") {
  verify_rig rig;
  auto s = verified_at(alice, 5);
  s.begun = s.rev;
  rig.states.stand(s);
  rig.in.headers.push_back({"late", "1"});
  rig.start();
  rig.in.deliver(signed_frame{.n = 2}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.reasons(alice) == words{"late"});
  CHECK(rig.out.sent.empty());
}

TEST_CASE("a frame too large for the buffer marks its account: dropping it was our limit") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 2));
  rig.start();
  rig.in.deliver(marker("oversize", alice));
  REQUIRE(rig.settles(1));
  CHECK(rig.reasons(alice) == words{"oversize"});
}

TEST_CASE("events of a Jetstream mark as they do without verification") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 2));
  rig.in.headers = {{"source", "jetstream." + kv::encode_part("jetstream.example")}};
  rig.start();
  rig.in.deliver({account_event(alice, false, "takendown"),
                  fmt::format(R"({{"marker":"unreadable","did":"{}","reason":"json"}})", bob)});
  REQUIRE(rig.settles(2));
  CHECK(rig.reasons(alice) == words{"account"});
  CHECK(rig.reasons(bob) == words{"json"});
}

TEST_CASE("a frame that comes without a proof is not applied") {
  verify_rig rig;
  rig.decode = stages::decode_unverified;
  rig.start();
  rig.in.deliver({signed_frame{}.bytes(), signed_frame{.n = 2}.sync()});
  REQUIRE(rig.settles(2));
  CHECK(rig.out.sent.empty());
  CHECK(rig.states.written.empty());
  CHECK(rig.skipped("bad_signature") + rig.skipped("invalid") == 1);
}

TEST_CASE("a #sync without a proof changes nothing, whether the data are the same or not") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 5));
  rig.decode = stages::decode_unverified;
  rig.start();
  rig.in.deliver({signed_frame{.n = 7, .tree = 5}.sync(), signed_frame{.n = 8}.sync()});
  REQUIRE(rig.settles(2));
  CHECK(rig.skipped("invalid") == 2);
  CHECK(rig.stored(alice, 5));
  CHECK(rig.states.written.empty());
  CHECK(rig.apply->desynchronised() == 0);
}
