// The repair of accounts that are marked although no event of their own shows a loss: NATS took writes back (X20), or
// the source had a gap.
#include "repair/loss_marks.hpp"
#include "repairs_rig.hpp"

using namespace recordkv;
using namespace recordkv::test;
using namespace recordkv::stages;

namespace {

/// Alice and Bob, as far as rev 1, in step with their PDS.
struct loss_rig : repair_rig {
  loss_rig() {
    for (const auto& did : {alice, bob}) {
      pds.repos[did] = repo_of(did, 1, {"a"});
      auto s = stored_state(did, 1);
      s.data = pds.repos[did].data();
      states.stand(s);
    }
  }
  void mark_gap(std::vector<std::string> dids) {
    auto marked =
        run_coroutine(io, apply->change_accounts(std::move(dids), [](account& a) { return mark_source_gap(a, true); }));
    REQUIRE(marked);
    CHECK(marked->has_value());
  }
  bool ends() {
    return waits_for([&] { return apply->after_loss()->waiting() == 0; });
  }
  bool asked(const std::string& what) const { return std::ranges::find(pds.asked, what) != pds.asked.end(); }
  const loss_count::numbers& counted() const { return apply->after_loss()->now(); }
};

}  // namespace

TEST_CASE("after a gap of the source an account whose PDS has no newer rev is synchronised without a fetch") {
  loss_rig rig;
  rig.start();
  rig.pds.hold();
  rig.mark_gap({alice, bob});
  CHECK(rig.state(alice).reasons == words{"source_gap"});
  CHECK(rig.apply->after_loss()->waiting() == 2);
  rig.pds.release();
  REQUIRE(rig.ends());
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.state(alice).reasons.empty());
  CHECK_FALSE(rig.asked("repo " + alice));
  CHECK(rig.directory.times_asked(alice) == 1);  // its #identity may be among what is missing
  CHECK(rig.counters.value("repairs", "checked") == 2);
  CHECK(rig.logged("2 accounts checked, 0 resynced, 0 records differed"));
  CHECK(rig.finish());
}

TEST_CASE("after a gap of the source an account with a newer rev is fetched, and counted with what differed") {
  loss_rig rig;
  rig.pds.repos[bob] = repo_of(bob, 4, {"b", "c"});
  rig.start();
  rig.mark_gap({alice, bob});
  REQUIRE(rig.ends());
  REQUIRE(rig.waits_for([&] { return rig.state(bob).rev == rev(4); }));
  CHECK(rig.store(bob) == rig.cids(rig.pds.repos[bob]));
  CHECK(rig.counted().checked == 2);
  CHECK(rig.counted().resynced == 1);
  CHECK(rig.counted().differed == 2);
  CHECK(rig.logged("2 accounts checked, 1 resynced, 2 records differed"));
  CHECK(rig.finish());
}

TEST_CASE("another gap while the PDS is asked makes the answer void: the account is fetched") {
  loss_rig rig;
  rig.start();
  rig.pds.hold();
  rig.mark_gap({alice});
  REQUIRE(rig.waits_for([&] { return rig.asked("latest " + alice); }));
  rig.mark_gap({alice});
  rig.pds.release();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.asked("repo " + alice));
  CHECK(rig.finish());
}

TEST_CASE("a commit that continues while the PDS is asked is no reason for a fetch, a break in the chain is") {
  loss_rig rig;
  auto s = rig.stored_state(alice, 1);
  s.data = root(1);
  rig.states.stand(s);
  rig.start();
  rig.pds.hold();
  rig.mark_gap({alice});
  REQUIRE(rig.waits_for([&] { return rig.asked("latest " + alice); }));
  SECTION("it continues") {
    rig.in.deliver(signed_frame{.n = 2}.bytes());
    REQUIRE(rig.settles(1));
    rig.pds.release();
    REQUIRE(rig.becomes_status(alice, "synchronised"));
    CHECK(rig.state(alice).rev == rev(2));
    CHECK_FALSE(rig.asked("repo " + alice));
  }
  SECTION("one is missing before it") {
    rig.in.deliver(signed_frame{.n = 3}.bytes());
    REQUIRE(rig.settles(1));
    rig.pds.repos[alice] = repo_of(alice, 5, {"a"});
    rig.pds.release();
    REQUIRE(rig.waits_for([&] { return rig.state(alice).rev == rev(5); }));
    CHECK(rig.asked("repo " + alice));
  }
  CHECK(rig.finish());
}

TEST_CASE("an account that went within the gap is asked about, and goes") {
  loss_rig rig;
  std::string becomes;
  SECTION("deactivated") {
    rig.pds.statuses[alice] = {.active = false, .status = "deactivated", .rev = ""};
    becomes = "inactive";
  }
  SECTION("deleted") {
    rig.pds.repos.erase(alice);
    becomes = "deleted";
  }
  SECTION("its DID is a tombstone") {
    rig.directory.says.insert_or_assign(alice, fail(errc::not_found, "tombstone"));
    becomes = "deleted";
  }
  rig.start();
  rig.mark_gap({alice});
  REQUIRE(rig.becomes_status(alice, becomes));
  CHECK(rig.ends());
  CHECK_FALSE(rig.asked("repo " + alice));
  CHECK(rig.finish());
}

TEST_CASE("an inactive account that returned within the gap is fetched") {
  loss_rig rig;
  auto s = rig.stored_state(alice, 1);
  s.status = "inactive";
  s.upstream_status = "deactivated";
  rig.states.stand(s);
  rig.pds.repos[alice] = repo_of(alice, 6, {"new"});
  rig.start();
  rig.mark_gap({alice});
  REQUIRE(rig.waits_for([&] { return rig.state(alice).rev == rev(6); }));
  CHECK(rig.state(alice).status == "synchronised");
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("a host that does not answer the question is asked again later, one that does not know it gives its repo") {
  loss_rig rig;
  SECTION("no answer") {
    rig.pds.next_failures.push_back(failure(errc::timed_out, "timed_out"));
    rig.start();
    rig.mark_gap({alice});
    REQUIRE(rig.waits_for([&] { return rig.state(alice).tries == 1; }));
    CHECK_FALSE(rig.asked("repo " + alice));
    rig.later(61s);
    REQUIRE(rig.becomes_status(alice, "synchronised"));
    CHECK_FALSE(rig.asked("repo " + alice));
  }
  SECTION("501") {
    rig.pds.next_failures.push_back(failure(errc::unavailable, "status"));
    rig.start();
    rig.mark_gap({alice});
    REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  }
  CHECK(rig.finish());
}

TEST_CASE("X20: an account whose writes were taken back is fetched although its rev is the newest") {
  loss_rig rig;
  auto s = rig.stored_state(alice, 1);
  s.data = rig.pds.repos[alice].data();
  s.at = 10;
  REQUIRE(mark_taken_back(s, 9));
  rig.states.stand(s);
  rig.start();
  rig.apply->after_loss()->open(alice);
  rig.apply->consider_stored(alice, 0);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK_FALSE(rig.asked("latest " + alice));
  CHECK(rig.ends());
  CHECK(rig.counted().resynced == 1);
  CHECK(rig.counted().differed == 1);
  CHECK(rig.finish());
}

TEST_CASE("X20: keys of an account that was removed, which are there again, are removed again") {
  loss_rig rig;
  auto s = rig.stored_state(alice, 1);
  rig.states.stand(s);
  rig.start();
  rig.in.deliver(signed_frame{.n = 2, .before = 1, .tree = 2}.bytes());
  REQUIRE(rig.settles(1));
  REQUIRE_FALSE(rig.store(alice).empty());
  auto marked = run_coroutine(rig.io, rig.apply->change_accounts({alice}, [](account& a) {
    a.newest.status = "removed";
    a.newest.at = 10;
    return mark_taken_back(a.newest, 9);
  }));
  REQUIRE((marked && marked->has_value()));
  REQUIRE(rig.waits_for([&] { return rig.store(alice).empty(); }));
  CHECK(rig.finish());
}
