// What becomes of single records and of events that are not commits: stored, deleted, left out and counted.
#include "kv_apply_rig.hpp"
#include "recordkv/atproto/syntax.hpp"

using namespace recordkv;
using namespace recordkv::test;

namespace {

std::string del(const std::string& key) { return key + "=DEL"; }
constexpr std::string_view record_one = R"(={"n":1})";

std::chrono::system_clock::time_point at_rev_5() {
  return std::chrono::system_clock::time_point(std::chrono::microseconds(atproto::tid_micros(rev(5))));
}

/// As rev(5), its time `by` later.
std::string ahead(std::chrono::minutes by) {
  std::string tid(13, '2');
  auto n = static_cast<std::uint64_t>(atproto::tid_micros(rev(5)) + std::chrono::microseconds(by).count()) << 10;
  for (auto c = tid.rbegin(); c != tid.rend(); ++c, n >>= 5) *c = "234567abcdefghijklmnopqrstuvwxyz"[n & 31];
  return tid;
}

/// event_of(alice, 1, rkey), but for its rev.
std::string with_rev(const std::string& tid, const std::string& rkey) {
  auto e = event_of(alice, 1, rkey);
  return e.replace(e.find(rev(1)), rev(1).size(), tid);
}

}  // namespace

TEST_CASE("a record carries its cid, rev, time and op; a delete is a marker with what it was") {
  kv_rig rig;
  rig.start();
  rig.in.deliver({commit_frame{.n = 1}.bytes(), commit_frame{.n = 2, .remove = true}.bytes()});
  REQUIRE(rig.settles(2));
  REQUIRE(rig.out.sent.size() == 2);
  const auto& put = rig.out.sent[0];
  CHECK(put.subject == key_of(alice, like, "a"));
  CHECK(put.header_value("cid") == atproto::cid_text_of(cbor(R"({"n":1})")));
  CHECK(put.header_value("rev") == rev(1));
  CHECK(put.header_value("op") == "create");
  CHECK_FALSE(put.header_value("time").empty());
  CHECK(put.header_value("KV-Operation").empty());
  const auto& gone = rig.out.sent[1];
  CHECK(gone.subject == put.subject);
  CHECK(gone.payload.empty());
  CHECK(gone.header_value("KV-Operation") == "DEL");
  CHECK(gone.header_value("rev") == rev(2));
  CHECK(rig.counters.value("records_written") == 1);
  CHECK(rig.counters.value("records_deleted") == 1);
}

TEST_CASE("a record that is too large is left out, and its older value deleted") {
  kv_rig rig;
  rig.start();
  rig.out.refuse(1);
  rig.in.deliver(commit_frame{.n = 1, .paths = {like + "/a", like + "/b"}}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.out.lines() == words{del(key_of(alice, like, "a")), key_of(alice, like, "b") + std::string(record_one)});
  CHECK(rig.skipped("too_large") == 1);
  CHECK(rig.reasons(alice) == words{"too_large"});  // the record exists, and the store lacks it
  CHECK(rig.logged("2 kv: at://" + alice + "/" + like +
                   "/a is too large for NATS: skipped, and an older value is deleted"));
}

TEST_CASE("a key that can't even carry a marker holds nothing up") {
  kv_rig rig;
  rig.start();
  rig.out.refuse(2);  // the record and its marker
  rig.in.deliver(commit_frame{.n = 1}.bytes());
  rig.in.deliver(commit_frame{.n = 2}.bytes());
  REQUIRE(rig.settles(2));
  CHECK(rig.out.sent.size() == 1);
  CHECK(rig.states.find(alice)->rev == rev(2));
}

TEST_CASE("a flawed record is left out and its older value stays, since nothing says that it is gone") {
  kv_rig rig;
  rig.in.headers = {{"source", "firehose." + kv::encode_part("relay.example:8443")}};
  rig.start();
  rig.in.deliver({commit_frame{.n = 1}.bytes(), commit_frame{.n = 2, .lose_blocks = true}.bytes()});
  REQUIRE(rig.settles(2));
  CHECK(rig.out.lines() == words{key_of(alice, like, "a") + std::string(record_one)});
  CHECK(rig.skipped("missing_block") == 1);
  CHECK(rig.faults("relay.example:8443", "missing_block") == 1);
  const auto* state = rig.states.find(alice);
  REQUIRE(state);
  CHECK(state->rev == rev(2));  // the rest of the commit counts, and the chain goes on
  CHECK(state->status == "desynchronised");
  CHECK(rig.reasons(alice) == words{"missing_block"});
  CHECK(state->error.find(like + "/a at rev " + rev(2)) != std::string::npos);
  CHECK(state->error.find("relay.example:8443") != std::string::npos);
}

TEST_CASE("no flaw of a record deletes") {
  struct flawed {
    std::string_view record, flaw;
  };
  for (const auto& f :
       {flawed{R"("record":{"n":1.5})", "float"}, flawed{R"("record":{"n":1.0})", "float"},
        flawed{R"("record":null)", "missing_block"}, flawed{R"("no":1)", "missing_block"},
        flawed{R"("record":{"x":{"$link":1}})", "malformed"}, flawed{R"("record":[])", "malformed"},
        flawed{R"("cid":"bafyreidlocwuuwhm2fdk3v2ogwoffmdpvdzbzhuhnbpaxxlscemvt2kxxy","record":{})", "cid_mismatch"}}) {
    INFO(f.record);
    kv_rig rig;
    rig.start();
    auto update = event_of(alice, 2, "a", "update");
    constexpr std::string_view good = R"("record":{"n":2})";
    update.replace(update.find(good), good.size(), f.record);
    rig.in.deliver({event_of(alice, 1, "a"), update});
    REQUIRE(rig.settles(2));
    CHECK(rig.out.lines() == words{key_of(alice, like, "a") + std::string(record_one)});
    CHECK(rig.skipped(f.flaw) == 1);
    CHECK(rig.reasons(alice) == words{std::string(f.flaw)});
    CHECK(rig.logged(
        fmt::format("1 record of collection {} skipped for {}, the last at://{}/{}/a", like, f.flaw, alice, like)));
  }
}

TEST_CASE("a flaw that comes again and again is one line a minute, and each is counted") {
  kv_rig rig;
  rig.start();
  for (unsigned n = 1; n <= 50; ++n) {
    auto e = event_of(alice, n, fmt::format("r{}", n));
    const auto good = fmt::format(R"("record":{{"n":{}}})", n);
    rig.in.deliver(e.replace(e.find(good), good.size(), R"("record":{"n":0.5})"));
  }
  REQUIRE(rig.settles(50));
  CHECK(rig.skipped("float") == 50);
  CHECK(std::ranges::count_if(rig.lines, [](const auto& l) { return l.find(" skipped ") != l.npos; }) == 1);
  CHECK(rig.faults("unknown", "float") == 50);
}

TEST_CASE("of a path that makes no key nothing is put, and the rest of the commit is") {
  kv_rig rig;
  rig.start();
  rig.in.deliver(commit_frame{.n = 1, .paths = {"not a path", like + "/b"}}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.out.lines() == words{key_of(alice, like, "b") + std::string(record_one)});
  CHECK(rig.skipped("bad_path") == 1);
  CHECK(rig.states.find(alice)->rev == rev(1));
  CHECK(rig.reasons(alice) == words{"bad_path"});
}

TEST_CASE("records of unwanted collections are left out; the account's chain goes on") {
  kv_rig rig(stages::apply_rules{.collections = {like}, .filter = "f"});
  rig.start();
  rig.in.deliver({commit_frame{.n = 1, .paths = {like + "/a", post + "/p"}}.bytes(),
                  commit_frame{.n = 2, .paths = {post + "/q"}}.bytes(), commit_frame{.n = 3}.bytes()});
  REQUIRE(rig.settles(3));
  CHECK(rig.out.sent.size() == 2);
  CHECK(rig.skipped("unwanted") == 2);
  CHECK(rig.apply->desynchronised() == 0);
  const auto* state = rig.states.find(alice);
  REQUIRE(state);
  CHECK(state->rev == rev(3));
  CHECK(state->filter == "f");
  CHECK(state->collections == words{like});
}

TEST_CASE("an account that begins one collection after another is stopped before its state outgrows NATS") {
  kv_rig rig;
  rig.start();
  const std::string x(60, 'x');
  const auto collection = [&](unsigned i) { return fmt::format("com.{}.{}.{}.n{}", x, x, x, i); };
  for (unsigned i = 1; i <= 200; ++i) rig.in.deliver(event_of(alice, i, "a", "create", collection(i)));
  REQUIRE(rig.settles(200));
  const auto refused = rig.skipped("too_many_collections");
  CHECK(refused > 0);
  CHECK(rig.out.sent.size() == 200 - refused);
  CHECK(kv::to_json(*rig.states.find(alice)).size() < 20'000);
  CHECK(rig.reasons(alice) == words{"too_many_collections"});
  rig.in.deliver(event_of(alice, 201, "b", "create", collection(1)));  // where it has records it may have more
  REQUIRE(rig.settles(201));
  CHECK(rig.skipped("too_many_collections") == refused);
  CHECK(rig.states.find(alice)->rev == rev(201));
}

TEST_CASE("a rev from the future is left out, and does not make later ones look older") {
  kv_rig rig(stages::apply_rules{.now = at_rev_5});
  rig.start();
  rig.in.deliver({with_rev(ahead(6min), "a"), event_of(alice, 2, "b"), with_rev(ahead(4min), "c")});
  REQUIRE(rig.settles(3));
  CHECK(rig.skipped("future_rev") == 1);
  CHECK(rig.out.sent.size() == 2);
  CHECK(rig.states.find(alice)->rev == ahead(4min));
  CHECK(rig.states.find(alice)->stale());  // what was left out is missing: our own clock may be the wrong one
}

TEST_CASE("a rev from the future of somebody who is not followed: skipped as what it is, and nobody's loss") {
  kv_rig rig(stages::apply_rules{.collections = {post}, .now = at_rev_5});
  rig.start();
  rig.in.deliver(with_rev(ahead(6min), "a"));  // a like
  REQUIRE(rig.settles(1));
  CHECK(rig.skipped("future_rev") == 0);
  CHECK(rig.counters.value("ignored", "unwanted") == 1);
  CHECK(rig.states.find(alice) == nullptr);
}

TEST_CASE("an account begins with its first commit that touches a wanted collection") {
  kv_rig rig(stages::apply_rules{.collections = {like}});
  rig.start();
  rig.in.deliver({commit_frame{.n = 1, .paths = {post + "/p"}}.bytes(), sync_frame(alice, 2),
                  account_event(alice, false, "takendown")});
  REQUIRE(rig.settles(3));
  CHECK(rig.ignored("unwanted") == 1);
  CHECK(rig.ignored("not_begun") == 2);
  CHECK(rig.states.written.empty());
  rig.in.deliver(commit_frame{.n = 4}.bytes());  // a gap before the beginning is none
  REQUIRE(rig.settles(4));
  CHECK(rig.states.find(alice)->rev == rev(4));
  CHECK(rig.apply->desynchronised() == 0);
}

TEST_CASE("a break in the chain of commits marks the account, and the commit is applied all the same") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  rig.start();
  rig.in.deliver(commit_frame{.n = 3}.bytes());  // on root(2), which never came
  REQUIRE(rig.settles(1));
  CHECK(rig.out.sent.size() == 1);
  CHECK(rig.apply->desynchronised() == 1);
  const auto* state = rig.states.find(alice);
  CHECK(state->status == "desynchronised");
  CHECK(state->rev == rev(3));
  CHECK(state->error.find(rev(3)) != std::string::npos);
  CHECK(state->reasons == words{"gap"});
  rig.in.deliver(commit_frame{.n = 4}.bytes());
  REQUIRE(rig.settles(2));
  CHECK(rig.states.find(alice)->stale());  // until it is fetched in full
  CHECK(rig.apply->desynchronised() == 1);
}

TEST_CASE("an unbroken chain keeps the account synchronised") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  rig.start();
  rig.in.deliver({commit_frame{.n = 2}.bytes(), commit_frame{.n = 3}.bytes()});
  rig.in.deliver(commit_frame{.n = 7, .before = 3}.bytes());
  REQUIRE(rig.settles(3));
  CHECK_FALSE(rig.states.find(alice)->stale());
  CHECK(rig.apply->desynchronised() == 0);
}

TEST_CASE("#account is kept as the host says it") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  rig.start();
  rig.in.deliver(account_event(alice, false, "takendown"));
  REQUIRE(rig.settles(1));
  CHECK(rig.states.find(alice)->upstream_status == "takendown");
  CHECK(rig.states.find(alice)->stale());
  rig.in.deliver(account_event(alice, true, ""));
  REQUIRE(rig.settles(2));
  CHECK(rig.states.find(alice)->upstream_status.empty());
  CHECK(rig.counters.value("stream_events", "account") == 2);
  CHECK(rig.out.sent.empty());
}

TEST_CASE("a marker of ingest desynchronises its account, also one that has not begun") {
  for (const auto* word : {"oversize", "unreadable"}) {
    kv_rig rig;
    rig.states.stand(state_at(alice, 1));
    rig.start();
    rig.in.deliver({marker(word, alice), marker(word, bob)});
    REQUIRE(rig.settles(2));
    CHECK(rig.counters.value("stream_events", word) == 2);
    CHECK(rig.apply->desynchronised() == 2);
    for (const auto& did : {alice, bob}) {
      REQUIRE(rig.states.find(did));
      CHECK(rig.states.find(did)->stale());
    }
  }
}

TEST_CASE("what can't be decoded is counted, settled and harms nothing around it") {
  kv_rig rig;
  rig.start();
  auto torn = commit_frame{.n = 2}.bytes();
  torn.resize(torn.size() / 2);
  rig.in.deliver({commit_frame{.n = 1}.bytes(), "", "garbage", torn, R"({"kind":"commit","did":7})",
                  commit_frame{.did = bob}.bytes()});
  REQUIRE(rig.settles(6));
  CHECK(rig.skipped("malformed") == 4);
  CHECK(rig.out.sent.size() == 2);
  std::ranges::sort(rig.in.settled);  // an event without an account waits for no state
  CHECK(rig.in.settled == numbers{1, 2, 3, 4, 5, 6});
}
