// Events that can't be applied: counted, settled, and a mark at their account with reason and host.
#include "kv_apply_rig.hpp"

using namespace recordkv;
using namespace recordkv::test;

namespace {

/// A commit of rev n whose text was changed before it became CBOR.
std::string altered(unsigned n, std::string_view from, std::string_view to) {
  made_commit c;
  c.did = alice;
  c.rev = rev(n);
  auto json = c.payload_json();
  const auto at = json.find(from);
  REQUIRE(at != json.npos);
  return frame("#commit", json.replace(at, from.size(), to));
}

std::string many_ops() {
  made_commit c;
  c.did = alice;
  c.ops = "[";
  for (int i = 0; i < 201; ++i)
    c.ops += fmt::format(R"({}{{"action":"delete","path":"{}/r{}","cid":null}})", i == 0 ? "" : ",", like, i);
  c.ops += "]";
  return c.bytes();
}

}  // namespace

TEST_CASE("an event that can't be decoded marks its account, with reason and host") {
  struct refused {
    std::string bytes, reason;
  };
  const auto link = link_json(atproto::cid_text_of("x"));
  made_commit other_rev;
  other_rev.did = alice;
  other_rev.commit_block = cbor(fmt::format(R"({{"did":"{}","rev":"{}","sig":{},"data":{},"prev":null,"version":3}})",
                                            alice, rev(9), bytes_json(std::string(64, 's')), link));
  auto unknown_action = event_of(alice, 1, "a");
  unknown_action.replace(unknown_action.find("create"), 6, "invent");
  for (const auto& c :
       {refused{altered(1, R"("since":"3kabcdefgg222")", R"("since":)" + link), "since"},
        refused{altered(1, "com.example.note/b", "com.example.note/a"), "duplicate_path"},
        refused{altered(1, R"("blocks":)", R"("blokks":)"), "blocks"},
        refused{altered(1, R"("action":"update")", R"("action":"upsert")"), "action"}, refused{many_ops(), "ops"},
        refused{other_rev.bytes(), "rev_mismatch"}, refused{unknown_action, "action"},
        refused{frame("#account", fmt::format(R"({{"seq":1,"did":"{}","time":"t"}})", alice)), "active"}}) {
    INFO(c.reason);
    kv_rig rig;
    rig.in.headers = {{"source", "firehose." + kv::encode_part("relay.example")}};
    rig.start();
    rig.in.deliver({c.bytes, event_of(bob, 1, "b")});
    REQUIRE(rig.settles(2));
    CHECK(rig.skipped("malformed") == 1);
    CHECK(rig.faults("relay.example", c.reason) == 1);
    const auto* state = rig.states.find(alice);
    REQUIRE(state);
    CHECK(state->stale());
    CHECK(state->reasons == words{c.reason});
    CHECK(state->error.find("relay.example") != std::string::npos);
    CHECK_FALSE(rig.states.find(bob)->stale());
    CHECK(rig.ignored("unknown") == 0);
    CHECK(rig.logged("2 kv: relay.example: 1 event skipped, the last for " + c.reason + ", account " + alice));
  }
}

TEST_CASE("what some hosts leave out is applied") {
  kv_rig rig;
  rig.start();
  for (unsigned n = 1; n <= 20; ++n) rig.in.deliver(altered(n, R"("since":"3kabcdefgg222",)", ""));
  rig.in.deliver(altered(21, R"("cid":null,)", ""));
  REQUIRE(rig.settles(21));
  CHECK(rig.counters.value("commits") == 21);
  CHECK(rig.skipped("malformed") == 0);
}

TEST_CASE("an event without a usable account is counted as that, not as a new kind") {
  kv_rig rig;
  rig.start();
  auto bad = event_of(alice, 1, "a");
  bad.replace(bad.find("did:plc:"), 8, "DID:plc:");
  rig.in.deliver({bad, R"({"did":"did:plc:abc","time_us":1,"kind":"novelty"})"});
  REQUIRE(rig.settles(2));
  CHECK(rig.skipped("bad_did") == 1);
  CHECK(rig.faults("unknown", "bad_did") == 1);
  CHECK(rig.states.written.empty());
}

TEST_CASE("the reasons of an account add up, each once, and live with its state") {
  kv_rig rig;
  rig.start();
  rig.in.deliver({commit_frame{.n = 1}.bytes(), commit_frame{.n = 2, .lose_blocks = true}.bytes(),
                  commit_frame{.n = 3, .lose_blocks = true}.bytes(), commit_frame{.n = 9}.bytes()});
  REQUIRE(rig.settles(4));
  CHECK(rig.reasons(alice) == words{"missing_block", "gap"});
  const auto again = kv::parse_repo_state(kv::to_json(*rig.states.find(alice)));
  REQUIRE(again.has_value());
  CHECK(again->reasons == words{"missing_block", "gap"});
  CHECK(again->begun == rev(1));
}

TEST_CASE("X8: a late commit is applied where it is newer than its account, and else a repetition or a mark") {
  kv_rig rig;
  rig.start();
  rig.in.deliver({commit_frame{.n = 5}.bytes(), commit_frame{.did = bob, .n = 5}.bytes()});
  REQUIRE(rig.settles(2));
  rig.in.headers = {{"late", "1"}};
  rig.in.deliver(commit_frame{.n = 6}.bytes());  // an overtaken frame of another account: nothing is lost
  rig.in.deliver(commit_frame{.n = 5}.bytes());  // applied already
  REQUIRE(rig.settles(4));
  CHECK(rig.ignored("older") == 1);
  CHECK_FALSE(rig.states.find(alice)->stale());
  rig.in.deliver(commit_frame{.did = bob, .n = 4}.bytes());  // older than all that was ever applied of bob
  REQUIRE(rig.settles(5));
  CHECK(rig.reasons(bob) == words{"late"});
  CHECK(rig.skipped("late") == 1);
  CHECK(rig.states.find(bob)->rev == rev(5));
  CHECK(rig.out.sent.size() == 3);
}

TEST_CASE("X8: without the word of ingest an older commit is a repetition, wherever its account began") {
  kv_rig rig;
  rig.start();
  rig.in.deliver({commit_frame{.n = 5}.bytes(), commit_frame{.n = 4}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.ignored("older") == 1);
  CHECK_FALSE(rig.states.find(alice)->stale());
}

TEST_CASE("a late #account does not overrule what came after it") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  rig.start();
  rig.in.deliver(account_event(alice, false, "takendown"));
  REQUIRE(rig.settles(1));
  rig.in.headers = {{"late", "1"}};
  rig.in.deliver(account_event(alice, true, ""));
  REQUIRE(rig.settles(2));
  CHECK(rig.states.find(alice)->upstream_status == "takendown");
  CHECK(rig.reasons(alice) == words{"account", "late"});
}

TEST_CASE("a marker's word is its account's reason") {
  kv_rig rig;
  rig.start();
  rig.in.deliver(fmt::format(R"({{"marker":"unreadable","did":"{}","reason":"json"}})", alice));
  REQUIRE(rig.settles(1));
  CHECK(rig.reasons(alice) == words{"json"});
}

TEST_CASE("X11: an #account that comes again after a newer one changes nothing") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  rig.start();
  rig.in.headers = {{"from", "firehose.relay/2Eexample 1 50"}};
  rig.in.deliver(account_event(alice, false, "takendown"));
  REQUIRE(rig.settles(1));
  for (const auto* number : {"40", "50"}) {
    rig.in.headers = {{"from", fmt::format("firehose.relay/2Eexample 1 {}", number)}};
    rig.in.deliver(account_event(alice, true, ""));
  }
  REQUIRE(rig.settles(3));
  CHECK(rig.states.find(alice)->upstream_status == "takendown");
  CHECK(rig.ignored("older") == 2);
  rig.in.headers = {{"from", "firehose.relay/2Eexample 1 51"}};
  rig.in.deliver(account_event(alice, true, ""));
  REQUIRE(rig.settles(4));
  CHECK(rig.states.find(alice)->upstream_status.empty());
  CHECK(rig.finish());
}
