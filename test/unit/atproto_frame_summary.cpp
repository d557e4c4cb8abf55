// The framing of a frame, as ingest checks it before any field is read.
#include "atproto_support.hpp"
#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/event.hpp"

using namespace recordkv;
using namespace recordkv::atproto;
using test::frame;
using test::made_commit;

TEST_CASE("info has no seq; unknown types keep theirs; an error frame is one") {
  const auto info = summarise_frame(frame("#info", R"({"name":"OutdatedCursor","message":"m","seq":5})"));
  REQUIRE(info.has_value());
  CHECK(info->kind == event_kind::info);
  CHECK(info->seq == 0);
  CHECK(info->name == "OutdatedCursor");
  CHECK(decode_event(frame("#info", R"({"name":"x"})"))->kind == event_kind::info);

  const auto future = summarise_frame(frame("#future", R"({"seq":5,"did":"did:plc:a"})"));
  REQUIRE(future.has_value());
  CHECK(future->kind == event_kind::unknown);
  CHECK(future->seq == 5);
  CHECK(future->did.empty());
  CHECK(summarise_frame(test::cbor(R"({"op":7})") + test::from_hex("80"))->kind == event_kind::unknown);
  CHECK(summarise_frame(test::cbor(R"({"op":1})") + test::cbor(R"({"seq":6})"))->seq == 6);
  CHECK(decode_event(frame("#future", R"({"seq":5})"))->seq == 5);

  const auto failed =
      summarise_frame(test::cbor(R"({"op":-1})") + test::cbor(R"({"error":"FutureCursor","message":"too\nfar"})"));
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code == errc::cursor_ahead);
  CHECK(failed.error().text == "FutureCursor: too?far");
  const auto other = summarise_frame(test::cbor(R"({"op":-1})") + test::cbor(R"({"error":"X"})"));
  CHECK(other.error().code == errc::refused);
  CHECK(other.error().text == "X");
}

TEST_CASE("a frame is exactly two items; its keys may come in any order, each once") {
  const auto header = test::cbor(R"({"t":"#commit","op":1})");
  const auto good = made_commit{}.bytes();
  const auto refused = [](std::string_view bytes) {
    const auto seen = summarise_frame(bytes);
    return !seen && seen.error().code == errc::malformed;
  };
  CHECK_FALSE(refused(good));
  CHECK(refused(good + '\0'));
  CHECK(refused(good + good));
  CHECK(refused(header));
  CHECK(refused(""));
  CHECK(refused("{}"));
  CHECK(refused(test::from_hex("80 a0")));
  CHECK(refused(test::from_hex("a0 a0")));                                            // no op
  CHECK(refused(test::from_hex("a1 626f70 6131 a0")));                                // op is text
  CHECK(refused(header + test::from_hex("80")));                                      // known type, payload no map
  CHECK_FALSE(refused(header + test::from_hex("a2 6162 00 6161 00")));                // payload not sorted
  CHECK(refused(header + test::from_hex("a2 63736571 01 63736571 02")));              // seq twice
  CHECK(refused(header + test::from_hex("a2 63736571 6161 63736571 02")));            // also where one is of no use
  CHECK(refused(test::from_hex("a2 6174 6123 626f70 1801") + test::cbor("{}")));      // op not minimal
  CHECK(refused(test::from_hex("a2 6174 6123 6174 6123") + test::cbor("{}")));        // t twice
  CHECK(refused(test::from_hex("a2 626f70 01 626f70 01") + test::cbor("{}")));        // op twice
  CHECK_FALSE(refused(test::from_hex("a2 626f70 01 6174 6123") + test::cbor("{}")));  // the other order of the two
  const auto swapped = test::from_hex("a2 626f70 01 6174 67 23636f6d6d6974") + good.substr(header.size());
  CHECK(summarise_frame(swapped)->did == summarise_frame(good)->did);
  CHECK(decode_event(swapped)->changes.size() == 3);
  for (std::size_t n = 0; n < good.size(); ++n) {
    if (!refused(std::string_view(good).substr(0, n))) FAIL_CHECK("accepted when cut at " << n);
    if (decode_event(std::string_view(good).substr(0, n))) FAIL_CHECK("decoded when cut at " << n);
  }
}

TEST_CASE("the summary tells the event's time, or that it has none") {
  const auto at = [](std::string_view fields) {
    return summarise_frame(frame("#account", fmt::format(R"({{"seq":5,"did":"did:plc:a"{}}})", fields)))->time;
  };
  CHECK(at(R"(,"time":"2026-11-25T12:00:00.500Z")") == 1795608000.5);
  CHECK(at(R"(,"time":"yesterday")") == 0);
  CHECK(at(R"(,"time":7)") == 0);
  CHECK(at("") == 0);
}

TEST_CASE("a DID that cannot be stored: the summary names the reason and goes on, decoding refuses") {
  made_commit made;
  made.did = "did:plc:" + std::string(505, 'a');
  const auto seen = summarise_frame(made.bytes());
  REQUIRE(seen.has_value());
  CHECK(seen->kind == event_kind::unknown);
  CHECK(seen->did.empty());
  CHECK(seen->seq == 7);
  CHECK(seen->name == "did_too_long");
  CHECK(decode_event(made.bytes()).error().text == "did_too_long");
  made.did.pop_back();
  CHECK(summarise_frame(made.bytes())->did == made.did);
  CHECK(decode_event(made.bytes()).has_value());
  made.did = "did:plc:a>b";
  CHECK(summarise_frame(made.bytes())->name == "bad_did");
  CHECK(summarise_frame(made.bytes())->did.empty());
}

TEST_CASE("an event without a number cannot be put in order; the summary names its account") {
  const auto seen = summarise_frame(frame("#account", R"({"did":"did:plc:a","active":true,"time":"t"})"));
  REQUIRE(seen.has_value());
  CHECK(seen->kind == event_kind::unknown);
  CHECK(seen->name == "seq");
  CHECK(seen->did == "did:plc:a");
}

TEST_CASE("the envelope's keys in any order make the same event; in what is hashed and signed they have one") {
  const auto text = [](std::string_view s) { return static_cast<char>(0x60 + s.size()) + std::string(s); };
  const made_commit made;
  const auto good = made.bytes();
  const auto payload = good.substr(test::cbor(R"({"t":"#commit","op":1})").size());
  // The payload's pairs turned round: read them one by one, and write the last first.
  std::vector<std::string> pairs;
  cbor::reader r(payload);
  r.next();
  for (auto left = r.count(); left != 0; --left) {
    const auto begin = r.position();
    r.next();
    r.next();
    REQUIRE(r.skip());
    pairs.push_back(payload.substr(begin, r.position() - begin));
  }
  std::string turned = test::from_hex("a2 626f70 01 6174 67") + "#commit" + payload.front();
  for (auto p = pairs.rbegin(); p != pairs.rend(); ++p) turned += *p;
  const auto seen = summarise_frame(turned);
  const auto event = decode_event(turned);
  REQUIRE(seen.has_value());
  REQUIRE(event.has_value());
  CHECK(seen->did == made.did);
  CHECK(seen->collections == summarise_frame(good)->collections);
  CHECK(event->rev == made.rev);
  CHECK(event->changes.size() == 3);
  const auto op = std::string("\xa3") + text("path") + text("com.example.note/z") + text("action") + text("delete") +
                  text("cid") + '\xf6';
  auto with_op = turned;
  const auto ops = with_op.find("\x63ops") + 4;
  with_op.replace(ops, 1, "\x84").insert(ops + 1, op);
  REQUIRE(decode_event(with_op).has_value());
  CHECK(decode_event(with_op)->changes.size() == 4);

  for (const auto& p : pairs) {  // any of them twice is ambiguous
    auto twice = turned + p;
    twice[turned.find("#commit") + 7] = static_cast<char>(payload.front() + 1);
    const bool matters = p.find("blobs") > 2 && p.find("rebase") > 2 && p.find("tooBig") > 2;
    INFO(p.substr(0, 10));
    CHECK(decode_event(twice).has_value() != matters);
  }
  made_commit unsorted;
  unsorted.second = test::from_hex("a2 6162 00 6161 00");
  CHECK(decode_event(unsorted.bytes())->changes[1].flaw == record_flaw::malformed);
}
