// Jetstream's JSON and the markers of ingest, made up here.
#include "atproto_support.hpp"
#include "decode.hpp"
#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/json_fields.hpp"

#include <boost/json/parse.hpp>

#include <array>
#include <random>
#include <set>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

const std::string did = "did:plc:abcdefghijklmnopqrstuvwx";
constexpr std::string_view record_json = R"({"$type":"com.example.note","n":9007199254740993,"at":"x/\u00e9"})";

/// Of the record where it has one.
std::string cid_of_record(std::string_view json) {
  const auto cid = cid_of_json(json);
  return cid ? *cid : cid_text_of("no data");
}

std::string commit(std::string_view record = record_json, std::string_view more = "") {
  return fmt::format(R"({{"did":"{}","time_us":1779719009132431,{}"kind":"commit","commit":{{"rev":"3kabcdefgh222",)"
                     R"("operation":"create","collection":"com.example.note","rkey":"a","record":{},"cid":"{}"}}}})",
                     did, more, record, cid_of_record(record));
}

std::string with(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

std::string flaw_of(std::string_view text) {
  const auto event = decode_event(text);
  if (event) return {};
  CHECK(event.error().code == errc::malformed);
  return event.error().text;
}

std::string v2(std::string_view kind, std::string_view fields) {
  return fmt::format(R"({{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#{}",)"
                     R"("seq":42,"did":"{}","time":"2026-01-02T03:04:05.678901Z"{}}}}})",
                     kind, did, fields);
}

}  // namespace

TEST_CASE("a v1 commit") {
  const auto event = decode_event(commit());
  REQUIRE(event.has_value());
  CHECK(event->kind == event_kind::commit);
  CHECK(event->proofless);
  CHECK(event->seq == 1779719009132431);
  CHECK(event->time == "2026-05-25T14:23:29.132431Z");
  CHECK(event->did == did);
  CHECK(event->rev == "3kabcdefgh222");
  CHECK(event->commit.empty());
  REQUIRE(event->changes.size() == 1);
  const auto& change = event->changes[0];
  CHECK(change.what == action::create);
  CHECK(change.collection == "com.example.note");
  CHECK(change.rkey == "a");
  CHECK(change.cid == *cid_of_json(record_json));
  CHECK(change.json == "{\"n\":9007199254740993,\"at\":\"x/\u00e9\",\"$type\":\"com.example.note\"}");
  CHECK(change.flaw == record_flaw::none);

  const auto seen = summarise_jetstream(commit());
  REQUIRE(seen.has_value());
  CHECK(seen->kind == event_kind::commit);
  CHECK(seen->seq == 1779719009132431);
  CHECK(seen->did == did);
  CHECK(seen->collections == std::vector<std::string>{"com.example.note"});
}

TEST_CASE("the server's own cursor goes before time_us") {
  const auto text = commit(record_json, R"("cursor":123,)");
  CHECK(summarise_jetstream(text)->seq == 123);
  CHECK(summarise_jetstream(R"({"did":"did:plc:a","time_us":1725911162329308,"kind":"identity"})")->time ==
        1725911162.329308);
  CHECK(decode_event(text)->seq == 123);
  CHECK(decode_event(text)->time == "2026-05-25T14:23:29.132431Z");
}

TEST_CASE("a CID that the server does not tell is computed") {
  const auto event = decode_event(with(commit(), R"(,"cid":)", R"(,"sid":)"));
  REQUIRE(event.has_value());
  CHECK(event->changes[0].cid == *cid_of_json(record_json));
}

TEST_CASE("a record that is no data is a flaw") {
  const auto flaw = [](std::string_view text) {
    const auto event = decode_event(text);
    REQUIRE(event.has_value());
    REQUIRE(event->changes.size() == 1);
    if (event->changes[0].flaw != record_flaw::none) CHECK(event->changes[0].json.empty());
    return event->changes[0].flaw;
  };
  CHECK(flaw(commit(R"({"n":1.5})")) == record_flaw::number);
  CHECK(flaw(commit(R"({"n":18446744073709551615})")) == record_flaw::malformed);
  CHECK(flaw(commit(R"({"n":123456789012345678901234567890})")) == record_flaw::number);
  CHECK(flaw(commit(R"({"n":9223372036854775807})")) == record_flaw::none);
  CHECK(flaw(commit(R"({"n":{"$link":"no"}})")) == record_flaw::malformed);
  CHECK(flaw(commit(R"("text")")) == record_flaw::malformed);
  CHECK(flaw(commit("{\"t\":\"" + std::string(max_record, 'x') + "\"}")) == record_flaw::too_large);
  CHECK(flaw(with(commit(), R"("record":)", R"("rekord":)")) == record_flaw::missing_block);
  CHECK(flaw(commit("null")) == record_flaw::missing_block);
  CHECK(flaw(with(commit(), R"("rkey":"a")", R"("rkey":"a b")")) == record_flaw::bad_path);
  CHECK(flaw(with(commit(), R"("collection":"com.)", R"("collection":"*.)")) == record_flaw::bad_path);
}

TEST_CASE("a record must be what its CID names") {
  const auto told = [](std::string_view record, std::string_view cid) {
    const auto event = decode_event(
        fmt::format(R"({{"did":"{}","time_us":1,"kind":"commit","commit":{{"rev":"3kabcdefgh222","operation":"create",)"
                    R"("collection":"com.example.note","rkey":"a","record":{}{}}}}})",
                    did, record, cid.empty() ? std::string() : fmt::format(R"(,"cid":"{}")", cid)));
    REQUIRE(event.has_value());
    return event->changes.at(0);
  };
  const auto of_float = cid_text_of(test::from_hex("a1 616e fb3ff0000000000000"));  // {"n": 1.0}
  CHECK(told(R"({"n":1})", cid_of_record(R"({"n":1})")).flaw == record_flaw::none);
  CHECK(told(R"({"n":1})", of_float).flaw == record_flaw::cid_mismatch);
  CHECK(told(R"({"n":1})", cid_text_of(test::cbor(R"({"n":1})"), codec::raw)).flaw == record_flaw::cid_mismatch);
  CHECK(told(R"({"n":2})", cid_of_record(R"({"n":1})")).flaw == record_flaw::cid_mismatch);
  for (const char* n : {"1.0", "1e0", "10e-1"}) {
    const auto record = fmt::format(R"({{"n":{}}})", n);
    CHECK(told(record, of_float).flaw == record_flaw::cid_mismatch);
    CHECK(told(record, of_float).json.empty());
    CHECK(told(record, cid_of_record(R"({"n":1})")).json == R"({"n":1})");  // an integer, written oddly
    CHECK(told(record, "").flaw == record_flaw::number);                    // nothing tells which
  }
  CHECK(told(R"({"n":-0.0})", cid_text_of(test::from_hex("a1 616e fb8000000000000000"))).flaw ==
        record_flaw::cid_mismatch);
  CHECK(told(R"({"n":1e3})", cid_text_of(test::from_hex("a1 616e fb408f400000000000"))).flaw ==
        record_flaw::cid_mismatch);
}

TEST_CASE("the rest of a commit must be right") {
  CHECK(flaw_of(with(commit(), R"("rev":"3k)", R"("rev":"0k)")) == "rev");
  CHECK(flaw_of(with(commit(), R"("operation":"create")", R"("operation":"move")")) == "action");
  CHECK(flaw_of(with(commit(), R"("cid":"b)", R"("cid":"b\r\n)")) == "cid");
  CHECK(flaw_of(with(commit(), R"("cid":")", R"("cid":1,"sid":")")) == "cid");
  CHECK(flaw_of(with(commit(), "did:plc", "did?plc")) == "bad_did");
  CHECK(flaw_of(with(commit(), "did:plc:", "did:plc:" + std::string(500, 'x'))) == "did_too_long");
  CHECK(flaw_of(with(commit(), R"("time_us":1779719009132431)", R"("time_us":"x")")) == "seq");
  CHECK(flaw_of(with(commit(), R"("commit":{)", R"("comit":{)")) == "payload");
  CHECK(summarise_jetstream(with(commit(), "did:plc", "did?plc"))->kind == event_kind::unknown);
  CHECK(summarise_jetstream(with(commit(), "did:plc", "did?plc"))->name == "bad_did");
  // A filter cannot decide whether such a commit is wanted.
  CHECK(summarise_jetstream(with(commit(), R"("commit":{)", R"("comit":{)")).error().text == "collection");
  CHECK(summarise_jetstream(with(commit(), R"("collection":")", R"("kollection":")")).error().text == "collection");
}

TEST_CASE("what is not JSON is refused by the summary, too") {
  const auto good = commit();
  for (const auto& bad : {std::string("{"), good.substr(0, good.size() - 1), good + "x", good + good,
                          with(good, "\"kind\"", "kind"), std::string("[]"), std::string()}) {
    CHECK_FALSE(summarise_jetstream(bad).has_value());
    CHECK_FALSE(decode_event(bad).has_value());
  }
}

TEST_CASE("v1 identity, account, delete and unknown kinds") {
  const auto account =
      fmt::format(R"({{"did":"{0}","time_us":5,"kind":"account",)"
                  R"("account":{{"active":false,"did":"{0}","seq":9,"status":"takendown","time":"t"}}}})",
                  did);
  const auto event = decode_event(account);
  REQUIRE(event.has_value());
  CHECK(event->kind == event_kind::account);
  CHECK_FALSE(event->active);
  CHECK(event->status == "takendown");
  CHECK(event->seq == 5);
  CHECK(flaw_of(with(account, R"("active":false)", R"("active":0)")) == "active");

  const auto identity = fmt::format(R"({{"did":"{0}","time_us":6,"kind":"identity","identity":{{"did":"{0}"}}}})", did);
  CHECK(decode_event(identity)->kind == event_kind::identity);
  CHECK(decode_event(identity)->time == "1970-01-01T00:00:00.000006Z");

  const auto removal = with(commit(), R"("operation":"create")", R"("operation":"delete")");
  const auto removed = decode_event(removal);
  REQUIRE(removed.has_value());
  CHECK(removed->changes[0].what == action::remove);
  CHECK(removed->changes[0].cid.empty());
  CHECK(removed->changes[0].json.empty());

  const auto other = fmt::format(R"({{"did":"{}","time_us":7,"kind":"label","label":{{}}}})", did);
  CHECK(summarise_jetstream(other)->kind == event_kind::unknown);
  CHECK(summarise_jetstream(other)->seq == 7);
  CHECK(decode_event(other)->kind == event_kind::unknown);
  CHECK(summarise_jetstream("{}")->kind == event_kind::unknown);
}

TEST_CASE("v2 envelopes") {
  const auto made =
      v2("commit",
         R"(,"rev":"3kabcdefgh222","operation":"update","collection":"com.example.note","rkey":"a","record":{"n":1})");
  const auto event = decode_event(made);
  REQUIRE(event.has_value());
  CHECK(event->kind == event_kind::commit);
  CHECK(event->seq == 42);
  CHECK(event->time == "2026-01-02T03:04:05.678901Z");
  CHECK(event->changes.at(0).what == action::update);
  CHECK(event->changes.at(0).json == R"({"n":1})");
  CHECK(summarise_jetstream(made)->collections.size() == 1);

  const auto sync = decode_event(v2("sync", R"(,"sync":{"rev":"3kabcdefgh222"})"));
  REQUIRE(sync.has_value());
  CHECK(sync->kind == event_kind::sync);
  CHECK(sync->rev == "3kabcdefgh222");
  CHECK(sync->proofless);
  CHECK(flaw_of(v2("sync", R"(,"sync":{"rev":"x"})")) == "rev");
  CHECK(flaw_of(v2("sync", "")) == "payload");

  CHECK(decode_event(v2("account", R"(,"account":{"active":true})"))->active);
  CHECK(decode_event(v2("identity", R"(,"identity":{})"))->kind == event_kind::identity);
  CHECK(summarise_jetstream(v2("info", R"(,"name":"OutdatedCursor")"))->name == "OutdatedCursor");
  CHECK(summarise_jetstream(v2("info", R"(,"name":"OutdatedCursor")"))->seq == 0);
  CHECK(summarise_jetstream(v2("later", ""))->kind == event_kind::unknown);
  CHECK(summarise_jetstream(v2("later", ""))->seq == 42);

  const auto failed = summarise_jetstream(R"({"$type":"error","error":"ConsumerTooSlow","message":"m"})");
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code == errc::too_slow);
  CHECK(failed.error().text == "ConsumerTooSlow: m");
  CHECK(flaw_of(R"({"$type":"message"})") == "payload");
}

TEST_CASE("markers of ingest") {
  const auto oversize = decode_event(fmt::format(R"({{"marker":"oversize","did":"{}","rev":"3kabcdefgh222"}})", did));
  REQUIRE(oversize.has_value());
  CHECK(oversize->kind == event_kind::oversize);
  CHECK(oversize->did == did);
  CHECK(oversize->rev == "3kabcdefgh222");
  const auto unreadable = decode_event(fmt::format(R"({{"marker":"unreadable","did":"{}"}})", did));
  REQUIRE(unreadable.has_value());
  CHECK(unreadable->kind == event_kind::unreadable);
  CHECK(unreadable->rev.empty());
  CHECK(decode_event(fmt::format(R"({{"marker":"unreadable","did":"{}","reason":"json"}})", did))->reason == "json");
  CHECK(flaw_of(R"({"marker":"oversize"})") == "bad_did");
  CHECK(flaw_of(fmt::format(R"({{"marker":"other","did":"{}"}})", did)) == "marker");
  CHECK(flaw_of(fmt::format(R"({{"marker":"oversize","did":"{}","rev":"1"}})", did)) == "rev");
}

namespace {

/// What ingest needs, read from a tree of the whole text: the meaning that read_jetstream_fields() must have.
std::string summary_by_tree(std::string_view text) {
  boost::system::error_code ec;
  const auto value = boost::json::parse(text, ec);
  const auto* root = value.if_object();
  if (ec || root == nullptr) return "json";
  const auto type = text_field(*root, "$type");
  if (type == "error") return stream_error(text_field(*root, "error"), text_field(*root, "message")).text;
  const auto* payload = object_field(*root, "payload");
  if (type == "message" && payload == nullptr) return "payload";
  const bool v2 = type == "message";
  const auto& head = v2 ? *payload : *root;
  const auto kind = v2 ? text_field(head, "$type") : text_field(head, "kind");
  const auto* body = v2 ? payload : object_field(*root, "commit");
  auto seq = unsigned_field(head, v2 ? "seq" : "cursor");
  if (!v2 && seq == 0) seq = unsigned_field(head, "time_us");
  if (kind == (v2 ? "#info" : "no info")) return fmt::format("info {}", text_field(head, "name"));
  const bool commit = kind == (v2 ? "#commit" : "commit");
  if (!commit && kind != (v2 ? "#account" : "account")) return fmt::format("unknown {}", seq);
  const auto collection = body == nullptr ? std::string_view() : text_field(*body, "collection");
  if (commit && collection.empty()) return "collection";
  const auto who = text_field(head, "did");
  if (!is_did(who) || seq == 0) return fmt::format("unknown {}", seq);
  return fmt::format("{} {} {} {}", commit, seq, who, commit && is_nsid(collection) ? collection : "");
}

std::string summary(std::string_view text) {
  const auto s = summarise_jetstream(text);
  if (!s) return s.error().text;
  if (s->kind == event_kind::info) return fmt::format("info {}", s->name);
  if (s->kind == event_kind::unknown) return fmt::format("unknown {}", s->seq);
  return fmt::format("{} {} {} {}", s->kind == event_kind::commit, s->seq, s->did,
                     s->collections.empty() ? "" : s->collections[0]);
}

/// Objects of any shape, made of the names and values that mean something. Names come twice, too.
class any_event {
 public:
  explicit any_event(unsigned seed) : random_(seed) {}

  std::string object(int depth) {
    std::string out = "{";
    for (unsigned left = below(7); left > 0; --left)
      out += fmt::format("{}\"{}\":{}", out.size() > 1 ? "," : "", one_of(names), value(depth));
    return out + "}";
  }

 private:
  static constexpr std::array names = {"$type", "kind", "did",       "time_us", "cursor",     "commit", "payload",
                                       "seq",   "name", "\\u0064id", "rev",     "collection", "error",  "message"};
  static constexpr std::array values = {"\"message\"",
                                        "\"error\"",
                                        "\"commit\"",
                                        "\"#commit\"",
                                        "\"account\"",
                                        "\"#account\"",
                                        "\"#info\"",
                                        "\"did:plc:abcdefghijklmnopqrstuvwx\"",
                                        "7",
                                        "18446744073709551615",
                                        "-3",
                                        "1.5",
                                        "null",
                                        "true",
                                        "\"com.example.note\"",
                                        "\"com.example.n\\u006fte\"",
                                        "[1,{\"did\":\"x\",\"seq\":4}]",
                                        "[]"};

  std::string value(int depth) { return depth < 3 && below(3) == 0 ? object(depth + 1) : std::string(one_of(values)); }
  template <class List>
  std::string_view one_of(const List& list) {
    return list[below(static_cast<unsigned>(list.size()))];
  }
  unsigned below(unsigned n) { return random_() % n; }

  std::mt19937 random_;
};

}  // namespace

TEST_CASE("what ingest reads of an event is what a tree of it says, whatever the order, repeated names included") {
  std::set<std::string> met;
  for (unsigned seed = 0; seed < 30'000; ++seed) {
    auto text = any_event(seed).object(0);
    // Most of those are nothing: give every other one a chance to be an event.
    if (seed % 2 == 0 && text != "{}")
      text = with(text, "{", seed % 4 == 0 ? R"({"$type":"message",)" : R"({"kind":"commit",)");
    INFO(text);
    CHECK(summary(text) == summary_by_tree(text));
    met.insert(summary(text));
  }
  CHECK(met.size() > 20);
  for (const auto* const one : {"collection", "payload", "info "}) CHECK(met.contains(one));
}
