// What a frame is, before anybody asks what it says: the framing, as ingest checks it.
#include "atproto_support.hpp"
#include "recordkv/atproto/event.hpp"

using namespace recordkv;
using namespace recordkv::atproto;
using test::cbor;
using test::frame;
using test::made_commit;

TEST_CASE("info has no seq; unknown types keep theirs; an error frame is one") {
  const auto info = glance_frame(frame("#info", R"({"name":"OutdatedCursor","message":"m","seq":5})"));
  REQUIRE(info.has_value());
  CHECK(info->kind == event_kind::info);
  CHECK(info->seq == 0);
  CHECK(info->name == "OutdatedCursor");
  CHECK(decode_event(frame("#info", R"({"name":"x"})"))->kind == event_kind::info);

  const auto future = glance_frame(frame("#future", R"({"seq":5,"did":"did:plc:a"})"));
  REQUIRE(future.has_value());
  CHECK(future->kind == event_kind::unknown);
  CHECK(future->seq == 5);
  CHECK(future->did.empty());
  CHECK(glance_frame(cbor(R"({"op":7})") + test::from_hex("80"))->kind == event_kind::unknown);
  CHECK(glance_frame(cbor(R"({"op":1})") + cbor(R"({"seq":6})"))->seq == 6);
  CHECK(decode_event(frame("#future", R"({"seq":5})"))->seq == 5);

  const auto failed = glance_frame(cbor(R"({"op":-1})") + cbor(R"({"error":"FutureCursor","message":"too\nfar"})"));
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code == errc::refused);
  CHECK(failed.error().text == "FutureCursor: too?far");
  CHECK(glance_frame(cbor(R"({"op":-1})") + cbor(R"({"error":"X"})")).error().text == "X");
}

TEST_CASE("a frame is exactly two canonical items") {
  const auto header = cbor(R"({"t":"#commit","op":1})");
  const auto good = made_commit{}.bytes();
  const auto refused = [](std::string_view bytes) {
    const auto seen = glance_frame(bytes);
    return !seen && seen.error().code == errc::malformed;
  };
  CHECK_FALSE(refused(good));
  CHECK(refused(good + '\0'));
  CHECK(refused(good + good));
  CHECK(refused(header));
  CHECK(refused(""));
  CHECK(refused("{}"));
  CHECK(refused(test::from_hex("80 a0")));
  CHECK(refused(test::from_hex("a0 a0")));                                      // no op
  CHECK(refused(test::from_hex("a1 626f70 6131 a0")));                          // op is text
  CHECK(refused(header + test::from_hex("80")));                                // known type, payload no map
  CHECK(refused(header + test::from_hex("a2 6162 00 6161 00")));                // payload not canonical
  CHECK(refused(test::from_hex("a2 6174 6123 626f70 1801") + cbor("{}")));      // op not minimal
  CHECK(refused(test::from_hex("a2 6174 6123 6174 6123") + cbor("{}")));        // t twice
  CHECK(refused(test::from_hex("a2 626f70 01 626f70 01") + cbor("{}")));        // op twice
  CHECK_FALSE(refused(test::from_hex("a2 626f70 01 6174 6123") + cbor("{}")));  // the other order of the two
  const auto swapped = test::from_hex("a2 626f70 01 6174 67 23636f6d6d6974") + good.substr(header.size());
  CHECK(glance_frame(swapped)->did == glance_frame(good)->did);
  CHECK(decode_event(swapped)->changes.size() == 3);
  for (std::size_t n = 0; n < good.size(); ++n) {
    if (!refused(std::string_view(good).substr(0, n))) FAIL_CHECK("accepted when cut at " << n);
    if (decode_event(std::string_view(good).substr(0, n))) FAIL_CHECK("decoded when cut at " << n);
  }
}

TEST_CASE("the glance tells the event's time, or that it has none") {
  const auto at = [](std::string_view fields) {
    return glance_frame(frame("#account", fmt::format(R"({{"seq":5,"did":"did:plc:a"{}}})", fields)))->time;
  };
  CHECK(at(R"(,"time":"2026-11-25T12:00:00.500Z")") == 1795608000.5);
  CHECK(at(R"(,"time":"yesterday")") == 0);
  CHECK(at(R"(,"time":7)") == 0);
  CHECK(at("") == 0);
}

TEST_CASE("a DID that cannot be stored: the glance names the reason and goes on, decoding refuses") {
  made_commit made;
  made.did = "did:plc:" + std::string(505, 'a');
  const auto seen = glance_frame(made.bytes());
  REQUIRE(seen.has_value());
  CHECK(seen->kind == event_kind::unknown);
  CHECK(seen->did.empty());
  CHECK(seen->seq == 7);
  CHECK(seen->name == "did_too_long");
  CHECK(decode_event(made.bytes()).error().text == "did_too_long");
  made.did.pop_back();
  CHECK(glance_frame(made.bytes())->did == made.did);
  CHECK(decode_event(made.bytes()).has_value());
  made.did = "did:plc:a>b";
  CHECK(glance_frame(made.bytes())->name == "did");
}
