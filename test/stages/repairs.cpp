// Repairs: a repo is fetched, and the store becomes equal to it, whatever happens meanwhile.
#include "repairs_rig.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;

namespace {

// Frames 2 and 3 put two records; frame 5 does not continue from 3.
void deliver_with_gap(repair_rig& rig) {
  rig.in.deliver({signed_frame{.n = 2, .paths = {like + "/a"}}.bytes(),
                  signed_frame{.n = 3, .paths = {like + "/b"}}.bytes(),
                  signed_frame{.n = 5, .paths = {like + "/c"}}.bytes()});
}

}  // namespace

TEST_CASE("after a gap the account is fetched: puts for new and changed records, deletes for vanished ones") {
  repair_rig rig(GENERATE(0U, 2U));
  rig.states.stand(rig.stored_state(alice, 1));
  rig.pds.repos[alice] = repo_of(alice, 6, {"b", "d"});
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  const auto& s = rig.state(alice);
  CHECK(s.status == "synchronised");
  CHECK(s.rev == rev(6));
  CHECK(s.data == rig.pds.repos[alice].data());
  CHECK(s.reasons.empty());
  CHECK(s.error.empty());
  CHECK(s.complete);
  CHECK(s.verified);
  CHECK(rig.finish());
  CHECK(rig.in.settled == numbers{1, 2, 3});
}

TEST_CASE("an account that a state says is desynchronised is repaired without an event") {
  repair_rig rig;
  auto s = rig.stored_state(alice, 4);
  s.desynchronise("gap", "from an earlier run");
  rig.states.stand(s);
  rig.pds.repos[alice] = repo_of(alice, 5, {"a"});
  rig.start();
  settle_down(rig.io);
  rig.apply->consider_stored(alice, 0);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("X12: an export that is older than what is known is never applied") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  rig.pds.repos[alice] = repo_of(alice, 4, {"old"});
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return rig.state(alice).tries == 1; }));
  CHECK_FALSE(rig.store(alice).contains(like + "/old"));
  CHECK(rig.state(alice).status == "desynchronised");
  CHECK(rig.state(alice).error.find("older than") != std::string::npos);
  CHECK(rig.counters.value("repairs", "stale") == 1);
  rig.pds.repos[alice] = repo_of(alice, 6, {"new"});
  rig.later(61s);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("a torn export, and one that another key has signed, are tried again and never applied in part") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  auto bad = repo_of(alice, 6, {"b", "d"});
  std::string word;
  SECTION("a record is missing") {
    bad.lost = like + "/d";
    word = "torn";
  }
  SECTION("wrong key") {
    bad.signer = 2;
    word = "bad_signature";
  }
  SECTION("another account's repo") {
    bad.did = bob;
    word = "bad_export";
  }
  rig.pds.repos[alice] = bad;
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return rig.state(alice).tries == 1; }));
  CHECK(rig.counters.value("repairs", word) == 1);
  CHECK_FALSE(rig.store(alice).contains(like + "/d"));
  CHECK(rig.state(alice).next_try > rig.seconds() + 44);
  CHECK(rig.state(alice).next_try <= rig.seconds() + 62);
  rig.pds.repos[alice] = repo_of(alice, 6, {"b", "d"});
  rig.later(62s);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.state(alice).tries == 0);
  CHECK(rig.finish());
}

TEST_CASE("a host whose repo differs from a commit of the same rev is at fault, and nothing of it is applied") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  auto repo = repo_of(alice, 6, {"b"});
  rig.pds.repos[alice] = repo;
  rig.pds.hold();
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return !rig.pds.asked.empty(); }));
  rig.in.deliver(signed_frame{.n = 6, .paths = {like + "/z"}}.bytes());
  REQUIRE(rig.settles(4));
  rig.pds.release();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).tries == 1; }));
  CHECK(rig.counters.value("repairs", "faulty_host") == 1);
  CHECK(rig.store(alice).contains(like + "/z"));
  CHECK(rig.finish());
}

TEST_CASE("a commit behind the export that continues from its tree is kept") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  const auto repo = repo_of(alice, 6, {"b", "e"});
  rig.pds.repos[alice] = repo;
  rig.pds.hold();
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return !rig.pds.asked.empty(); }));
  auto seven = signed_frame{.n = 7, .paths = {like + "/b", like + "/f"}}.made();
  seven.old_cid = repo.data();
  rig.in.deliver(seven.bytes());
  REQUIRE(rig.settles(4));
  const auto b = rig.store(alice).at(like + "/b");
  rig.pds.release();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.state(alice).rev == rev(7));
  CHECK(rig.state(alice).data == root(7));
  auto expected = rig.cids(repo);
  expected[like + "/b"] = b;  // the newer value
  expected[like + "/f"] = b;
  CHECK(rig.store(alice) == expected);
  CHECK(rig.finish());
}

TEST_CASE("X13: puts in flight are waited for before the store is compared, and events of the account wait meanwhile") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  rig.states.stand(rig.stored_state(bob, 1));
  const auto repo = repo_of(alice, 6, {"b"});
  rig.pds.repos[alice] = repo;
  rig.start();
  rig.out.cork();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return !rig.pds.asked.empty(); }));
  settle_down(rig.io);
  CHECK(rig.key_reads == 0);
  auto seven = signed_frame{.n = 7, .paths = {like + "/z"}}.made();
  seven.old_cid = repo.data();
  rig.in.deliver({seven.bytes(), signed_frame{.did = bob, .n = 2, .paths = {like + "/z"}}.bytes()});
  REQUIRE(rig.waits_for([&] { return rig.store(bob).contains(like + "/z"); }));
  CHECK_FALSE(rig.store(alice).contains(like + "/z"));
  rig.out.uncork();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).rev == rev(7); }));
  CHECK(rig.key_reads == 1);
  CHECK(rig.state(alice).status == "synchronised");
  auto expected = rig.cids(repo);
  expected[like + "/z"] = rig.store(alice)[like + "/z"];
  CHECK(rig.store(alice) == expected);
  CHECK(rig.finish());
}

TEST_CASE("X9: the repaired state is written only after its puts are durable") {
  repair_rig rig;
  auto s = rig.stored_state(alice, 1);
  s.desynchronise("gap", "");
  rig.states.stand(s);
  rig.pds.repos[alice] = repo_of(alice, 6, {"b", "d"});
  rig.start();
  rig.out.cork();
  settle_down(rig.io);
  rig.apply->consider_stored(alice, 0);
  REQUIRE(rig.waits_for([&] { return rig.out.sent.size() == 2; }));
  settle_down(rig.io);
  CHECK(rig.states.written.empty());
  rig.out.let(2);
  settle_down(rig.io);
  rig.out.uncork();
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.finish());
}

TEST_CASE("a collection stands in the state before the first record of it is put") {
  repair_rig rig;
  auto s = rig.stored_state(alice, 1);
  s.collections.clear();
  s.desynchronise("gap", "");
  rig.states.stand(s);
  rig.pds.repos[alice] = repo_of(alice, 6, {"b"});
  rig.start();
  settle_down(rig.io);
  rig.states.hold();
  rig.apply->consider_stored(alice, 0);
  REQUIRE(rig.waits_for([&] { return rig.states.saves_begun == 1; }));
  settle_down(rig.io);
  CHECK(rig.out.sent.empty());
  rig.states.release();
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.states.written.front().collections == words{like});
  CHECK(rig.states.written.front().status == "desynchronised");
  CHECK(rig.finish());
}

TEST_CASE("a record that can't be stored is left out, and an older value of it goes") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  auto repo = repo_of(alice, 6, {"a", "d"});
  repo.flawed = like + "/a";
  rig.pds.repos[alice] = repo;
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.store(alice) == std::map<std::string, std::string>{{like + "/d", repo.cid(like + "/d")}});
  CHECK(rig.counters.value("repair_records", "left_out") == 1);
  CHECK(rig.finish());
}

TEST_CASE("a host that asks to be left alone is left alone, and that counts as no failure") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  rig.pds.repos[alice] = repo_of(alice, 6, {"b"});
  rig.pds.next_failures.push_back(failure(errc::full, "rate_limited", 0s));
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return rig.counters.value("repairs", "later") == 1; }));
  CHECK(rig.state(alice).tries == 0);
  rig.later(1s);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.finish());
}

TEST_CASE("a place that a host has again goes to an account that waits for it, though no time passes") {
  repair_rig rig;
  rig.repair.rules.hosts.per_host = 1;
  const words dids = {alice, bob, carol, "did:plc:dddddddddddddddddddddddd", "did:plc:eeeeeeeeeeeeeeeeeeeeeeee"};
  for (const auto& did : dids) {
    auto s = rig.stored_state(did, 1);
    s.desynchronise("gap", "");
    rig.states.stand(s);
    rig.pds.repos[did] = repo_of(did, 2, {"a"});
  }
  rig.pds.hold();
  rig.start();
  settle_down(rig.io);
  for (const auto& did : dids) rig.apply->consider_stored(did, 0);
  REQUIRE(rig.waits_for([&] { return rig.counters.value("repairs", "later") == dids.size() - 1; }));
  CHECK(rig.pds.asked.size() == 1);
  rig.pds.release();
  for (const auto& did : dids) REQUIRE(rig.becomes_status(did, "synchronised"));
  CHECK(rig.pds.asked.size() == dids.size());
  CHECK(rig.finish());
}

TEST_CASE("X14: an account is fetched at most once a minute") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  rig.pds.repos[alice] = repo_of(alice, 6, {"b"});
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  rig.in.deliver(signed_frame{.n = 9, .paths = {like + "/c"}}.bytes());
  REQUIRE(rig.becomes_status(alice, "desynchronised"));
  settle_down(rig.io);
  CHECK(rig.pds.asked.size() == 1);
  rig.pds.repos[alice] = repo_of(alice, 10, {"b", "c"});
  rig.later(61s);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.pds.asked.size() == 2);
  CHECK(rig.finish());
}

TEST_CASE("a repair under way ends with the stage, and its account stays desynchronised") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  rig.pds.repos[alice] = repo_of(alice, 6, {"b"});
  rig.pds.hold();
  rig.start();
  deliver_with_gap(rig);
  REQUIRE(rig.waits_for([&] { return !rig.pds.asked.empty(); }));
  CHECK(rig.finish());
  CHECK(rig.state(alice).status == "desynchronised");
}

TEST_CASE("accounts of a source without proofs are fetched only if they are followed") {
  repair_rig rig;
  rig.repair.rules.every_account = false;
  auto followed = rig.stored_state(alice, 1);
  followed.followed = true;
  rig.states.stand(followed);
  rig.states.stand(rig.stored_state(bob, 1));
  rig.pds.repos[alice] = repo_of(alice, 6, {"b"});
  rig.start();
  rig.in.deliver({signed_frame{.did = bob, .n = 5}.bytes(), signed_frame{.n = 5}.bytes()});
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.state(bob).status == "desynchronised");
  CHECK(rig.pds.asked == words{"repo " + alice});
  CHECK(rig.finish());
}

TEST_CASE("accounts for which there was no place in memory are found again in the bucket, and repaired") {
  repair_rig rig;
  rig.repair.rules.max_waiting = 2;
  rig.repair.rules.at_once = 1;
  rig.in_bucket = {alice, bob, carol, "did:plc:dddddddddddddddddddddddd", "did:plc:eeeeeeeeeeeeeeeeeeeeeeee"};
  for (const auto& did : rig.in_bucket) {
    rig.directory.says.insert_or_assign(did, rig.identity_of(1));
    auto s = rig.stored_state(did, 1);
    s.desynchronise("gap", "");
    rig.states.stand(s);
    rig.pds.repos[did] = repo_of(did, 2, {"a"});
  }
  rig.failing_reads = 2;  // NATS does not answer at first
  rig.start();
  settle_down(rig.io);
  for (const auto& did : rig.in_bucket) rig.apply->consider_stored(did, 0);
  for (std::size_t n = 1; n <= rig.failing_reads; ++n) {
    REQUIRE(rig.waits_for([&] { return rig.state_reads == n; }));
    settle_down(rig.io);
    CHECK(rig.state_reads == n);  // not at once
    rig.later(6s);
  }
  for (const auto& did : rig.in_bucket) REQUIRE(rig.becomes_status(did, "synchronised"));
  CHECK(rig.state_reads > 2);
  CHECK(rig.finish());
}
