// Keys and signatures in stage `kv`: what is looked up and when, what waits for it, and what a bad signature does.
#include "kv_verify_rig.hpp"

using namespace recordkv;
using namespace recordkv::test;

TEST_CASE("an account's key is looked up once, kept in its state, and not looked up again after a restart") {
  fake_directory directory;
  kv::repo_state kept;
  {
    verify_rig rig;
    rig.start();
    rig.in.deliver({signed_frame{.n = 1}.bytes(), signed_frame{.n = 2}.bytes()});
    REQUIRE(rig.settles(2));
    rig.in.deliver(signed_frame{.n = 3}.bytes());
    REQUIRE(rig.settles(3));
    CHECK(rig.directory.asked == words{alice});
    CHECK(rig.counters.value("key_look_ups", "no_key") == 1);
    CHECK(rig.counters.value("verdicts", "proven") == 3);
    kept = *rig.states.find(alice);
    CHECK(kept.key == multikey('A'));
    CHECK(kept.pds == "https://pds.example");
    CHECK(kept.handle == "name.example");
    CHECK(kept.key_checked > 0);
    CHECK(kept.verified);
    CHECK(rig.finish());
  }
  verify_rig rig;
  rig.states.stand(*kv::parse_repo_state(kv::to_json(kept)));
  rig.start();
  rig.in.deliver(signed_frame{.n = 4}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.stored(alice, 4));
  CHECK(rig.directory.asked.empty());
}

TEST_CASE("a stored key that can't be read is looked up") {
  verify_rig rig;
  auto damaged = verified_at(alice, 1);
  damaged.key = "zNoKey";
  rig.states.stand(damaged);
  rig.start();
  rig.in.deliver(signed_frame{.n = 2}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.stored(alice, 2));
  CHECK(rig.directory.asked == words{alice});
}

TEST_CASE("an account whose key is being looked up holds up no other, and keeps its own order") {
  verify_rig rig;
  rig.directory.keep_waiting(alice);
  rig.start();
  rig.in.deliver(
      {signed_frame{.n = 1}.bytes(), signed_frame{.did = bob, .n = 1}.bytes(), signed_frame{.n = 2}.bytes()});
  REQUIRE(rig.settles(1));
  rig.in.deliver({signed_frame{.n = 3}.bytes(), signed_frame{.did = bob, .n = 2}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.in.settled == numbers{2, 5});
  CHECK(rig.apply->unsettled() == 3);
  CHECK(rig.apply->unstored() == 0);
  rig.directory.answer(alice);
  REQUIRE(rig.settles(5));
  CHECK(rig.in.settled == numbers{2, 5, 1, 3, 4});
  CHECK(rig.apply->desynchronised() == 0);
  CHECK(rig.directory.times_asked(alice) == 1);
}

TEST_CASE("X14: a wrongly signed event has no effect on its account, whatever it says") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 5));
  rig.start();
  rig.in.deliver({signed_frame{.n = 6, .signer = 'B'}.bytes(),                  // would be applied
                  signed_frame{.n = 9, .signer = 'B'}.bytes(),                  // a gap
                  signed_frame{.n = 6, .signer = 'B', .flawed = true}.bytes(),  // a discontinuity
                  signed_frame{.n = 6, .signer = 'B', .no_prev_data = true}.bytes(),
                  signed_frame{.n = 7, .signer = 'B'}.sync()});
  REQUIRE(rig.settles(5));
  CHECK(rig.skipped("bad_signature") == 5);
  CHECK(rig.faults("relay.example", "bad_signature") == 5);
  CHECK(rig.out.sent.empty());
  CHECK(rig.states.written.empty());
  CHECK(rig.apply->desynchronised() == 0);
  CHECK(rig.logged("2 kv: relay.example: 1 event skipped, the last for bad_signature, account " + alice));
  rig.in.deliver(signed_frame{.n = 6}.bytes());
  REQUIRE(rig.settles(6));
  CHECK(rig.stored(alice, 6));
  CHECK_FALSE(rig.states.find(alice)->stale());
}

TEST_CASE("X14: a wrongly signed event leaves an unknown account unknown") {
  verify_rig rig;
  rig.start();
  rig.in.deliver({signed_frame{.signer = 'B'}.bytes(), signed_frame{.n = 2, .signer = 'B', .flawed = true}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.skipped("bad_signature") == 2);
  CHECK(rig.states.written.empty());
  CHECK(rig.out.sent.empty());
}

TEST_CASE("after a bad signature the key is looked up once, and the commit is verified with the new one") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  rig.directory.says.insert_or_assign(alice, identity_with('B'));
  rig.start();
  rig.in.deliver({signed_frame{.n = 2, .signer = 'B'}.bytes(), signed_frame{.n = 3, .signer = 'B'}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.stored(alice, 3));
  CHECK(rig.states.find(alice)->key == multikey('B'));
  CHECK(rig.directory.asked == words{alice});
  CHECK(rig.counters.value("key_look_ups", "bad_signature") == 1);
  CHECK(rig.skipped("bad_signature") == 0);
  CHECK(rig.in.settled == numbers{1, 2});
}

TEST_CASE("a key that a bad signature has brought to light is kept, although the event itself is dropped") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  rig.directory.says.insert_or_assign(alice, identity_with('B'));
  rig.start();
  rig.in.deliver(signed_frame{.n = 2, .signer = 'C'}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.skipped("bad_signature") == 1);
  CHECK(rig.states.find(alice)->key == multikey('B'));
  CHECK(rig.stored(alice, 1));
  CHECK_FALSE(rig.states.find(alice)->stale());
}

TEST_CASE("a directory that lags behind its hosts is asked once more") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  auto port = rig.directory.port();
  auto& directory = rig.directory;
  rig.verify.identity.look_up = [&directory, look_up = port.look_up](std::string did) {
    if (directory.asked.size() == 1) directory.says.insert_or_assign(did, identity_with('B'));
    return look_up(std::move(did));
  };
  rig.start();
  rig.in.deliver(signed_frame{.n = 2, .signer = 'B'}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.stored(alice, 2));
  CHECK(rig.directory.asked == words{alice, alice});
}

TEST_CASE("bad signatures cause one look-up of their account a minute") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  SECTION("within the minute further ones are dropped at once") {
    rig.start();
    for (unsigned n = 2; n <= 40; ++n) rig.in.deliver(signed_frame{.n = n, .signer = 'B'}.bytes());
    REQUIRE(rig.settles(39));
    CHECK(rig.directory.asked.size() == 2);  // and its confirmation
  }
  SECTION("after it the next one asks again") {
    rig.verify.look_ups.between_doubts = 0ms;
    rig.in.deliver(signed_frame{.n = 2}.bytes());
    rig.start();
    REQUIRE(rig.settles(1));
    rig.directory.says.insert_or_assign(alice, identity_with('B'));
    rig.in.deliver(signed_frame{.n = 3, .signer = 'B'}.bytes());
    REQUIRE(rig.settles(2));
    rig.directory.says.insert_or_assign(alice, identity_with('C'));
    rig.in.deliver(signed_frame{.n = 4, .signer = 'C'}.bytes());
    REQUIRE(rig.settles(3));
    CHECK(rig.stored(alice, 4));
  }
}

TEST_CASE("the confirming question waits, and abandoning ends that wait") {
  verify_rig rig;
  rig.verify.look_ups.confirm_after = 1h;
  rig.states.stand(verified_at(alice, 1));
  rig.start();
  rig.in.deliver(signed_frame{.n = 2, .signer = 'B'}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.directory.asked.size() == 1; }));
  settle_down(rig.io);
  CHECK(rig.in.settled.empty());
  rig.apply->abandon();
  CHECK(rig.waits_for([&] { return rig.took && rig.settled; }));
  CHECK(rig.directory.asked.size() == 1);
  CHECK(rig.in.settled.empty());
}

TEST_CASE("a key that can't be looked up: an account with a state is marked, any other is left to its next commit") {
  struct failure {
    errc code;
    std::string word;
  };
  for (const auto& f : {failure{errc::unreachable, "identity"}, failure{errc::timed_out, "identity"},
                        failure{errc::not_found, "did_not_found"}, failure{errc::malformed, "did_document"}}) {
    INFO(f.word);
    verify_rig rig;
    auto keyless = verified_at(alice, 1);
    keyless.key.clear();
    rig.states.stand(keyless);
    rig.directory.says.insert_or_assign(alice, fail(f.code, "as the test wants"));
    rig.directory.says.insert_or_assign(bob, fail(f.code, "as the test wants"));
    rig.start();
    rig.in.deliver({signed_frame{.n = 2}.bytes(), signed_frame{.did = bob}.bytes()});
    REQUIRE(rig.settles(2));
    CHECK(rig.out.sent.empty());
    CHECK(rig.skipped(f.word) == 2);
    CHECK(rig.counters.value("key_look_ups_failed", f.word) == 2);
    CHECK(rig.reasons(alice) == words{f.word});
    CHECK(rig.stored(alice, 1));
    CHECK(rig.states.find(bob) == nullptr);
    rig.directory.says.clear();
    rig.in.deliver({signed_frame{.n = 3}.bytes(), signed_frame{.did = bob, .n = 2}.bytes()});
    REQUIRE(rig.settles(4));
    CHECK(rig.stored(alice, 3));
    CHECK(rig.reasons(alice) == words{f.word, "gap"});
    CHECK(rig.stored(bob, 2));
    CHECK(rig.reasons(bob).empty());
  }
}

TEST_CASE("a document with an unusable key is a failure") {
  verify_rig rig;
  rig.directory.says.insert_or_assign(alice, identity::account_identity{.key = "zNoKey", .pds = "", .handle = ""});
  rig.start();
  rig.in.deliver(signed_frame{}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.skipped("did_document") == 1);
}

TEST_CASE("a refresh after a bad signature that fails marks an account that has a state") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  rig.directory.says.insert_or_assign(alice, fail(errc::unreachable, "down"));
  rig.start();
  rig.in.deliver({signed_frame{.n = 2, .signer = 'B'}.bytes(), signed_frame{.n = 2}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.reasons(alice) == words{"identity"});
  CHECK(rig.stored(alice, 2));  // by the old key
}

TEST_CASE("#identity: the account's later commits wait for a fresh look-up") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  rig.directory.says.insert_or_assign(alice, identity_with('B'));
  rig.directory.keep_waiting(alice);
  rig.start();
  rig.in.deliver({signed_frame{.n = 2}.bytes(), identity_frame(alice), signed_frame{.n = 3, .signer = 'B'}.bytes(),
                  signed_frame{.n = 4, .signer = 'A'}.bytes(), signed_frame{.did = bob}.bytes()});
  REQUIRE(rig.settles(2));
  settle_down(rig.io);
  CHECK(rig.in.settled == numbers{1, 5});
  CHECK(rig.directory.changed == words{alice});
  rig.directory.answer(alice);
  REQUIRE(rig.settles(5));
  CHECK(rig.in.settled == numbers{1, 5, 2, 3, 4});
  CHECK(rig.stored(alice, 3));  // the old key no longer signs
  CHECK(rig.skipped("bad_signature") == 1);
  CHECK(rig.counters.value("key_look_ups", "identity_event") == 1);
  CHECK(rig.states.find(alice)->key == multikey('B'));
}

TEST_CASE("#identity alone writes the new key into the account's state") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  rig.directory.says.insert_or_assign(alice, identity_with('B'));
  rig.start();
  rig.in.deliver(identity_frame(alice));
  REQUIRE(rig.settles(1));
  CHECK(rig.states.find(alice)->key == multikey('B'));
}

TEST_CASE("#identity: a storm costs a look-up for the first event, and one for all that come meanwhile") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  rig.directory.keep_waiting(alice);
  rig.start();
  rig.in.deliver(identity_frame(alice));
  settle_down(rig.io);
  CHECK(rig.directory.times_asked(alice) == 1);
  for (int i = 0; i < 10; ++i) rig.in.deliver({identity_frame(alice), identity_frame(alice)});
  settle_down(rig.io);
  rig.directory.answer(alice);
  REQUIRE(rig.settles(21));
  CHECK(rig.directory.times_asked(alice) == 2);
  rig.in.deliver(identity_frame(alice));  // it came after the last look-up had begun
  REQUIRE(rig.settles(22));
  CHECK(rig.directory.times_asked(alice) == 3);
}

TEST_CASE("#identity whose look-up fails leaves the old key, and marks nothing") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  rig.directory.says.insert_or_assign(alice, fail(errc::unreachable, "down"));
  rig.start();
  rig.in.deliver({identity_frame(alice), signed_frame{.n = 2}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.stored(alice, 2));
  CHECK_FALSE(rig.states.find(alice)->stale());
}

TEST_CASE("#identity of an account without a state costs no look-up, and its key is not trusted any more") {
  verify_rig rig;
  rig.start();
  rig.in.deliver(identity_frame(alice));
  REQUIRE(rig.settles(1));
  CHECK(rig.directory.asked.empty());
  CHECK(rig.ignored("identity") == 1);
  rig.in.deliver(signed_frame{.signer = 'B'}.bytes());  // its key is known now, and it has not begun
  REQUIRE(rig.settles(2));
  CHECK(rig.states.find(alice) == nullptr);
  rig.directory.asked.clear();
  rig.directory.says.insert_or_assign(alice, identity_with('B'));
  rig.in.deliver({identity_frame(alice), signed_frame{.signer = 'B'}.bytes()});
  REQUIRE(rig.settles(4));
  CHECK(rig.stored(alice, 1));
  CHECK(rig.directory.asked == words{alice});
}

TEST_CASE("an old key is looked up again in the background, and nothing waits for that") {
  verify_rig rig;
  auto old = verified_at(alice, 1);
  old.key_checked -= 25 * 3600;
  rig.states.stand(old);
  rig.states.stand(verified_at(bob, 1));
  rig.directory.says.insert_or_assign(alice, identity_with('B'));
  rig.directory.keep_waiting(alice);
  rig.start();
  rig.in.deliver({signed_frame{.n = 2}.bytes(), signed_frame{.did = bob, .n = 2}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.stored(alice, 2));
  CHECK(rig.directory.asked == words{alice});
  CHECK(rig.counters.value("key_look_ups", "old_key") == 1);
  rig.directory.answer(alice);
  REQUIRE(rig.waits_for([&] { return rig.directory.under_way() == 0; }));
  settle_down(rig.io);
  rig.in.deliver(signed_frame{.n = 3, .signer = 'B'}.bytes());
  REQUIRE(rig.settles(3));
  CHECK(rig.stored(alice, 3));
  CHECK(rig.directory.asked == words{alice});
  CHECK(rig.states.find(alice)->key_checked > old.key_checked);
}

TEST_CASE("a key that changes while signatures are checked with the old one: they are checked again") {
  verify_rig rig;
  auto old = verified_at(alice, 1);
  old.key_checked = 0;
  rig.states.stand(old);
  rig.directory.says.insert_or_assign(alice, identity_with('B'));  // answers before the check begins
  rig.start();
  rig.in.deliver(signed_frame{.n = 2, .signer = 'A'}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.skipped("bad_signature") == 1);
  CHECK(rig.out.sent.empty());
  rig.in.deliver(signed_frame{.n = 2, .signer = 'B'}.bytes());
  REQUIRE(rig.settles(2));
  CHECK(rig.stored(alice, 2));
}

TEST_CASE("#identity of a Jetstream causes no look-up: nothing of it is signed") {
  verify_rig rig;
  rig.states.stand(verified_at(alice, 1));
  rig.start();
  rig.in.deliver(fmt::format(R"({{"did":"{0}","time_us":1767225600000000,"kind":"identity",)"
                             R"("identity":{{"did":"{0}","seq":1,"time":"2026-01-01T00:00:00Z"}}}})",
                             alice));
  REQUIRE(rig.settles(1));
  CHECK(rig.ignored("identity") == 1);
  CHECK(rig.directory.times_asked(alice) == 0);
}
