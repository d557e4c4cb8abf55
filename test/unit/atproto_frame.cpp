// Firehose frames: the summary for ingest and the decoding of the KV stage, on messages made up here.
#include "recordkv/atproto/frame.hpp"

#include "atproto_support.hpp"
#include "recordkv/atproto/event.hpp"

using namespace recordkv;
using namespace recordkv::atproto;
using test::cbor;
using test::frame;
using test::made_commit;

namespace {

const std::string did = "did:plc:abcdefghijklmnopqrstuvwx";

std::string flaw_of(std::string_view bytes) {
  const auto event = decode_event(bytes);
  if (event) return {};
  CHECK(event.error().code == errc::malformed);
  return event.error().text;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a commit becomes its changes") {
  const made_commit made;
  const auto event = decode_event(made.bytes());
  REQUIRE(event.has_value());
  CHECK(event->kind == event_kind::commit);
  CHECK_FALSE(event->proofless);
  CHECK(event->seq == 7);
  CHECK(event->did == made.did);
  CHECK(event->rev == made.rev);
  CHECK(event->since == "3kabcdefgg222");
  CHECK(event->time == made.time);
  CHECK(event->commit == cid_text_of(made.head()));
  CHECK(event->data == made.data);
  CHECK(event->prev_data == made.old_cid);
  REQUIRE(event->changes.size() == 3);
  const auto& [create, update, remove] = std::tie(event->changes[0], event->changes[1], event->changes[2]);
  CHECK(create.what == action::create);
  CHECK(create.collection == "com.example.note");
  CHECK(create.rkey == "a");
  CHECK(create.cid == cid_text_of(made.first));
  CHECK(create.prev.empty());
  CHECK(create.json == R"({"n":1,"$type":"com.example.note"})");
  CHECK(update.what == action::update);
  CHECK(update.prev == made.old_cid);
  CHECK(remove.what == action::remove);
  CHECK(remove.cid.empty());
  CHECK(remove.json.empty());
  for (const auto& c : event->changes) CHECK(c.flaw == record_flaw::none);
}

TEST_CASE("the summary of a commit gives seq, DID and collections, each once") {
  made_commit made;
  made.second_path = "com.example.other/b";
  const auto seen = summarise_frame(made.bytes());
  REQUIRE(seen.has_value());
  CHECK(seen->kind == event_kind::commit);
  CHECK(seen->seq == 7);
  CHECK(seen->did == made.did);
  CHECK(seen->collections == std::vector<std::string>{"com.example.note", "com.example.other"});
}

TEST_CASE("one bad record is a flaw of that change and leaves the others alone") {
  made_commit made;
  const auto flaws = [&] {
    const auto event = decode_event(made.bytes());
    REQUIRE(event.has_value());
    REQUIRE(event->changes.size() == 3);
    for (const auto& c : event->changes) {
      if (c.flaw != record_flaw::none) CHECK(c.json.empty());
    }
    CHECK(event->changes[0].flaw == record_flaw::none);
    CHECK(event->changes[2].flaw == record_flaw::none);
    return event->changes[1].flaw;
  };
  SECTION("its block is missing") {
    made.blocks = {made.first};
    CHECK(flaws() == record_flaw::missing_block);
  }
  SECTION("its block is not canonical") {
    made.second = test::from_hex("a2 6162 00 6161 00");
    CHECK(flaws() == record_flaw::malformed);
  }
  SECTION("its block has a float") {
    made.second = test::from_hex("a1 6161 fb3ff8000000000000");
    CHECK(flaws() == record_flaw::number);
  }
  SECTION("it is no map") {
    made.second = test::from_hex("80");
    CHECK(flaws() == record_flaw::malformed);
  }
  SECTION("it is too large") {
    made.second = "\xa1" + test::from_hex("6161 5a 00100000") + std::string(max_record, 'x');
    CHECK(flaws() == record_flaw::too_large);
  }
  SECTION("its path is not one") {
    for (const char* path : {"com.example.note", "com.example.note/", "/b", "com.example/b", "com.example.note/b/c",
                             "com.example.note/b c", "com.example.note/..", "com.exa>mple.note/b"}) {
      made.second_path = path;
      INFO(path);
      CHECK(flaws() == record_flaw::bad_path);
      const auto change = decode_event(made.bytes())->changes[1];
      CHECK(change.collection == (std::string_view(path).starts_with("com.example.note") ? "com.example.note" : ""));
      CHECK(change.rkey.empty());
    }
  }
}

TEST_CASE("anything else that is wrong spoils the whole commit, with a word") {
  made_commit made;
  const auto head_with = [&](std::string_view from, std::string_view to) {
    const auto json = fmt::format(R"({{"did":"{}","rev":"{}","sig":{},"data":{},"prev":null,"version":3}})", did,
                                  made.rev, test::bytes_json(std::string(64, 's')), test::link_json(made.data));
    return cbor(replaced(json, from, to));
  };
  SECTION("the commit block disagrees with the message") {
    made.commit_block = head_with("\"did:plc:a", "\"did:plc:b");
    CHECK(flaw_of(made.bytes()) == "did_mismatch");
    made.commit_block = head_with(R"("rev":"3kabcdefgh222")", R"("rev":"3kabcdefgh223")");
    CHECK(flaw_of(made.bytes()) == "rev_mismatch");
  }
  SECTION("the commit block is not of version 3, or says too little or too much") {
    for (const auto& [from, to] :
         std::vector<std::pair<const char*, const char*>>{{R"("version":3)", R"("version":2)"},
                                                          {R"("prev":null,)", ""},
                                                          {R"("version":3)", R"("version":3,"more":1)"},
                                                          {R"("sig":{"$bytes":"c3Nz)", R"("sig":{"$bytes":")"},
                                                          {R"("prev":null)", R"("prev":1)"}}) {
      made.commit_block = head_with(from, to);
      CHECK(flaw_of(made.bytes()) == "commit_fields");
    }
  }
  SECTION("the CAR") {
    const auto json = made.payload_json();
    const auto other = test::link_json(cid_text_of(made.first));
    const auto head = test::link_json(cid_text_of(made.head()));
    CHECK(flaw_of(frame("#commit", replaced(json, "\"commit\":" + head, "\"commit\":" + other))) == "root_mismatch");
    auto spoilt = made.bytes();
    spoilt[spoilt.find("com.example.note", spoilt.find("blocks"))] ^= 1;
    CHECK(flaw_of(spoilt) == "cid_mismatch");
    const auto rootless =
        test::car_with_header(cbor(fmt::format(R"({{"roots":[{}],"version":1}})", head)), {made.first});
    const auto blocks = replaced(json, R"("blocks":)", R"("x":)");
    CHECK(flaw_of(frame("#commit", replaced(blocks, R"("rebase")",
                                            R"("blocks":)" + test::bytes_json(rootless) + R"(,"rebase")"))) ==
          "no_commit_block");
    CHECK(flaw_of(frame("#commit", blocks)) == "blocks");
  }
}

TEST_CASE("so does a field that is missing, of another type, or out of bounds: the word names it") {
  const made_commit made;
  const auto json = made.payload_json();
  const auto with = [&](std::string_view from, std::string_view to) {
    return flaw_of(frame("#commit", replaced(json, from, to)));
  };
  CHECK(with(R"("seq":7)", R"("seq":0)") == "seq");
  CHECK(with(R"("seq":7)", R"("seq":-7)") == "seq");
  CHECK(with(R"("seq":7)", R"("seq":"7")") == "seq");
  CHECK(with(R"("seq":7,)", "") == "seq");
  CHECK(with(R"("rev":"3k)", R"("rev":"0k)") == "rev");
  CHECK(with(R"("since":"3k)", R"("since":"1k)") == "since");
  CHECK(with(R"("since":"3kabcdefgg222")", "\"since\":" + test::link_json(made.old_cid)) == "since");
  CHECK(with("\"repo\":\"did:", "\"repo\":\"dad:") == "bad_did");
  CHECK(with("\"repo\":\"did:plc:abc", "\"repo\":\"did:plc:abc\\n") == "bad_did");
  CHECK(with("\"repo\":\"did:plc:", "\"repo\":\"did:plc:" + std::string(500, 'x')) == "did_too_long");
  CHECK(with(R"("action":"create")", R"("action":"replace")") == "action");
  CHECK(with("com.example.note/b", "com.example.note/a") == "duplicate_path");
  CHECK(with(R"("cid":null)", "\"cid\":" + test::link_json(made.old_cid)) == "op_cid");
  CHECK(with("\"cid\":" + test::link_json(cid_text_of(made.first)), R"("cid":null)") == "op_cid");
  CHECK(with(R"("ops":[)", R"("ops":[1,)") == "ops");
  CHECK(with(R"("ops":)", R"("opps":)") == "ops");
  CHECK(with(R"("prevData":{"$link":)", R"("prevData":{"x":)") == "prevData");
}

TEST_CASE("what older or newer hosts leave out or add is fine") {
  made_commit made;
  made.since = "null";
  auto json = made.payload_json();
  json = replaced(json, R"("prevData":)", R"("somethingNew":)");
  json = replaced(json, R"("rebase":false,)", R"("rebase":{"deep":[1,{"x":null}]},)");
  json = replaced(json, R"("since":null,)", "");
  json = replaced(json, R"("cid":null,)", "");
  json = replaced(json, R"("tooBig":false,)", "");
  const auto event = decode_event(frame("#commit", json));
  REQUIRE(event.has_value());
  CHECK(event->since.empty());
  CHECK(event->prev_data.empty());
  CHECK(event->changes.at(2).what == action::remove);
}

TEST_CASE("more than 200 ops are refused, and the summary looks no further") {
  std::string ops = "[";
  for (int i = 0; i < 201; ++i) {
    ops += fmt::format(R"({}{{"action":"delete","path":"com.example.c{}/x","cid":null}})", i == 0 ? "" : ",", i);
  }
  made_commit made;
  made.ops = ops + "]";
  CHECK(flaw_of(made.bytes()) == "ops");
  const auto seen = summarise_frame(made.bytes());
  REQUIRE(seen.has_value());
  CHECK(seen->collections.size() == 200);
}

TEST_CASE("what cannot be decoded still names its account and the fault") {
  made_commit made;
  made.since = test::link_json(made.old_cid);
  const auto refused = decode_event(made.bytes());
  REQUIRE(refused.has_error());
  const auto event = undecoded(made.bytes(), refused.error());
  CHECK(event.kind == event_kind::unreadable);
  CHECK(event.did == did);
  CHECK(event.reason == "since");
  const auto torn = made.bytes().substr(0, 40);
  CHECK(undecoded(torn, decode_event(torn).error()).kind == event_kind::unknown);
  const auto said = cbor(R"({"op":-1})") + cbor(R"({"error":"any words of the host"})");
  CHECK(undecoded(said, decode_event(said).error()).reason == "refused");
}

TEST_CASE("sync, identity, account") {
  const made_commit made;
  const auto sync = frame("#sync", fmt::format(R"({{"seq":9,"did":"{}","rev":"{}","time":"t","blocks":{}}})", did,
                                               made.rev, test::bytes_json(test::car_of({made.head()}))));
  const auto event = decode_event(sync);
  REQUIRE(event.has_value());
  CHECK(event->kind == event_kind::sync);
  CHECK(event->commit == cid_text_of(made.head()));
  CHECK(event->data == made.data);
  CHECK(event->rev == made.rev);
  CHECK(summarise_frame(sync)->kind == event_kind::sync);
  CHECK(summarise_frame(sync)->did == did);

  const auto account = [](std::string_view rest) {
    return frame("#account", fmt::format(R"({{"seq":10,"did":"{}","time":"t"{}}})", did, rest));
  };
  const auto deleted = decode_event(account(R"(,"active":false,"status":"deleted")"));
  REQUIRE(deleted.has_value());
  CHECK(deleted->kind == event_kind::account);
  CHECK_FALSE(deleted->active);
  CHECK(deleted->status == "deleted");
  CHECK(decode_event(account(R"(,"active":true)"))->status.empty());
  CHECK(flaw_of(account("")) == "active");
  CHECK(flaw_of(account(R"(,"active":1)")) == "active");
  CHECK(decode_event(account(R"(,"active":false,"status":"a\r\nb")"))->status == "a??b");

  const auto identity =
      frame("#identity", fmt::format(R"({{"seq":11,"did":"{}","time":"t","handle":"x","rev":1}})", did));
  CHECK(decode_event(identity)->kind == event_kind::identity);
  CHECK(decode_event(identity)->seq == 11);
  CHECK(flaw_of(frame("#identity", R"({"seq":11,"did":"x","time":"t"})")) == "bad_did");
}

TEST_CASE("names of actions and flaws") {
  CHECK(name(action::remove) == "delete");
  CHECK(name(record_flaw::bad_path) == "bad_path");
  CHECK(decode_event("").error().text == "empty");
  CHECK(decode_event("x").error().text == "encoding");
}
