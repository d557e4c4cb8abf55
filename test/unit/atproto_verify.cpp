// The verification of commits and #sync, step by step (com.atproto sync specification, "Validating commits").
//
// Owns: made-up and generated messages. Recorded ones are in atproto_verify_recorded.cpp; keys and signatures alone,
// trees alone, and the account's state are tested elsewhere.
#include "atproto_verify_support.hpp"

using namespace recordkv;
using namespace recordkv::atproto;
using test::opened_frame;

namespace {

namespace json = boost::json;

const std::string chain = "_derived/signed-chain/";
constexpr auto alice = "did:plc:alicesharedaaaaaaaaaaaaa", carol = "did:web:carol.shared.example";

/// The chain's frame with five ops of all three kinds, of seq 1025.
struct five_ops {
  std::vector<std::string> frames = test::fixture_frames(chain + "stream.bin");
  public_key key = test::key_at(test::fixture_json(chain + "did_docs.json"), alice, 1025);
  opened_frame message{frames.at(24)};

  /// The place of the first op with this action.
  std::size_t first(std::string_view what) {
    std::size_t at = 0;
    while (test::text_at(message.op(at), "action") != what) ++at;
    return at;
  }
};

std::string refused(std::string_view bytes) {
  const auto event = decode_provable(bytes);
  return event ? "nothing" : event.error().text;
}

std::string flaw(std::string_view bytes) {
  const auto event = decode_provable(bytes);
  REQUIRE(event.has_value());
  REQUIRE(event->proof.has_value());
  return std::string(event->proof->flaw);
}

verdict judged(std::string_view bytes, const public_key& key) {
  const auto event = decode_provable(bytes);
  INFO((event ? std::string() : event.error().text));
  REQUIRE(event.has_value());
  return verify(*event, key);
}

}  // namespace

TEST_CASE("verify: every commit and #sync of the signed chain is proven by the key of its time") {
  const auto frames = test::fixture_frames(chain + "stream.bin");
  const auto documents = test::fixture_json(chain + "did_docs.json");
  int proven = 0, from_empty = 0, without_prev_data = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    INFO("frame " << i);
    const auto event = decode_provable(frames[i]);
    if (!event) continue;
    const bool provable = event->kind == event_kind::commit || event->kind == event_kind::sync;
    REQUIRE(event->proof.has_value() == provable);
    if (!provable) {
      CHECK(verify(*event, test::key_at(documents, alice, 1025)) == verdict::unproven);
      continue;
    }
    CHECK(verify(*event, test::key_at(documents, event->did, event->seq)) == verdict::proven);
    CHECK(event->proof->flaw == "");
    ++proven;
    from_empty += event->proof->from_empty ? 1 : 0;
    without_prev_data += event->proof->has_prev_data ? 0 : 1;
  }
  CHECK(proven == 47);
  CHECK(from_empty == 7);  // the first commit of each, the first record of each, and the first after all were deleted
  CHECK(without_prev_data == 3);
}

TEST_CASE("verify: a key that was replaced proves nothing any more") {
  const auto frames = test::fixture_frames(chain + "stream.bin");
  const auto documents = test::fixture_json(chain + "did_docs.json");
  int stale = 0;
  for (const auto& bytes : frames) {
    const auto event = decode_provable(bytes);
    if (!event || !event->proof) continue;
    const auto first_seq = event->did == alice ? 1000U : event->did == carol ? 1008U : 1004U;
    const auto first_key = test::key_at(documents, event->did, first_seq);
    const bool replaced = first_key != test::key_at(documents, event->did, event->seq);
    INFO(event->seq);
    CHECK(verify(*event, first_key) == (replaced ? verdict::bad_signature : verdict::proven));
    stale += replaced ? 1 : 0;
  }
  CHECK(stale == 10);
}

TEST_CASE("verify: decode_event() says the same and proves nothing") {
  for (const auto& bytes : test::fixture_frames(chain + "stream.bin")) {
    const auto plain = decode_event(bytes), provable = decode_provable(bytes);
    REQUIRE(plain.has_value() == provable.has_value());
    if (!plain) continue;
    CHECK_FALSE(plain->proof.has_value());
    CHECK(plain->seq == provable->seq);
    CHECK(plain->data == provable->data);
    CHECK(plain->changes.size() == provable->changes.size());
  }
}

TEST_CASE("verify: the malformed frames") {
  // Read outside of assertions, inside which a skip would count as a failure.
  const auto read = [](std::string_view name) {
    return test::read_fixture(fmt::format("_derived/malformed/frame/{}", name));
  };
  const auto documents = test::fixture_json("_derived/malformed/did_docs.json");
  const auto key = test::key_of(documents.at("did:plc:malformedqqqqqqqqqqqqqqq"));
  CHECK(judged(read("sig-bit-flip.bin"), key) == verdict::bad_signature);
  CHECK(judged(read("wrong-prevdata.bin"), key) == verdict::discontinuity);
  CHECK(flaw(read("wrong-prevdata.bin")) == "prev_data");
  CHECK(judged(read("ops-missing-one.bin"), key) == verdict::discontinuity);
  CHECK(flaw(read("ops-missing-one.bin")) == "prev_data");
  CHECK(refused(read("header-only.bin")) == "no_payload");
  CHECK(refused(read("trailing-item.bin")) == "payload");
  const auto unsorted = decode_provable(read("record-map-keys-unsorted.bin"));
  REQUIRE(unsorted.has_value());
  CHECK(unsorted->changes.at(0).flaw == record_flaw::malformed);
  CHECK(verify(*unsorted, test::key_of(documents.at(unsorted->did))) == verdict::proven);
}

TEST_CASE("verify: step 7, the commit block is of this account and of this rev") {
  five_ops given;
  auto other = given.message;
  other.set("repo", "did:plc:bobsharedaaaaaaaaaaaaaaa");
  CHECK(refused(other.bytes()) == "did_mismatch");
  other = given.message;
  other.set("rev", "3mn7zs2nqwu2c");
  CHECK(refused(other.bytes()) == "rev_mismatch");
}

TEST_CASE("verify: step 6, the root is the commit, and a block is what its CID names") {
  five_ops given;
  auto other = given.message;
  other.set("commit", other.payload.at("prevData"));
  CHECK(refused(other.bytes()) == "root_mismatch");
  auto bytes = given.message.bytes();
  bytes[bytes.find("app.bsky.feed.", bytes.find("blocks"))] ^= 1;
  CHECK(refused(bytes) == "cid_mismatch");
}

TEST_CASE("verify: step 9, every field of the commit block is signed") {
  five_ops given;
  CHECK(judged(given.message.bytes(), given.key) == verdict::proven);
  const auto blocks = car::read(given.message.car_bytes);
  const auto head = json::parse(*json_of(blocks->find(blocks->root()))).as_object();
  const auto with = [&](std::string_view field, const json::value& value) {
    auto changed = head;
    changed[field] = value;
    auto out = given.message;
    auto others = out.blocks_without(cid_text(blocks->root()));
    others.insert(others.begin(), test::cbor(json::serialize(changed)));
    const auto root = json::parse(test::link_json(cid_text_of(others.front())));
    const auto header = test::cbor(json::serialize(json::object{{"roots", {root}}, {"version", 1}}));
    out.set("blocks", json::parse(test::bytes_json(test::car_with_header(header, others))));
    out.set("commit", root);
    if (field == "did") out.set("repo", value);
    if (field == "rev") out.set("rev", value);
    return out.bytes();
  };
  CHECK(judged(with("version", 3), given.key) == verdict::proven);  // nothing was changed
  CHECK(judged(with("did", "did:plc:bobsharedaaaaaaaaaaaaaaa"), given.key) == verdict::bad_signature);
  CHECK(judged(with("rev", "3mn7zs2nqwu2c"), given.key) == verdict::bad_signature);
  CHECK(judged(with("prev", head.at("data")), given.key) == verdict::bad_signature);
  CHECK(judged(with("data", given.message.payload.at("prevData")), given.key) == verdict::bad_signature);
}

TEST_CASE("verify: step 10, the new tree has what the ops say") {
  five_ops given;
  const auto with = [&](std::string_view action, auto change) {
    auto out = given.message;
    change(out.op(given.first(action)));
    return out.bytes();
  };
  const auto other_cid = given.message.payload.at("prevData");
  const auto wrong = with("create", [&](json::object& op) { op["cid"] = other_cid; });
  CHECK(flaw(wrong) == "op_value");
  CHECK(judged(wrong, given.key) == verdict::discontinuity);
  CHECK(flaw(with("create", [](json::object& op) { op["path"] = "app.bsky.feed.post/elsewhere"; })) == "op_value");
  CHECK(flaw(with("update", [&](json::object& op) { op["cid"] = other_cid; })) == "op_value");
  CHECK(flaw(with("create", [&](json::object& op) {
          op["action"] = "delete";
          op["prev"] = other_cid;
          op["cid"] = nullptr;
        })) == "op_present");
}

TEST_CASE("verify: step 11, undoing the ops leads to prevData") {
  five_ops given;
  auto other = given.message;
  other.set("prevData", other.payload.at("commit"));
  CHECK(flaw(other.bytes()) == "prev_data");
  other = given.message;
  auto& ops = other.payload.at("ops").as_array();
  ops.erase(ops.begin() + static_cast<std::ptrdiff_t>(given.first("create")));
  CHECK(flaw(other.bytes()) == "prev_data");
  CHECK(judged(other.bytes(), given.key) == verdict::discontinuity);
  for (const auto* action : {"update", "delete"}) {
    other = given.message;
    other.op(given.first(action)).erase("prev");
    CHECK(flaw(other.bytes()) == "op_prev");
    other.op(given.first(action))["prev"] = other.payload.at("commit");
    CHECK(flaw(other.bytes()) == "prev_data");
  }
  other = given.message;
  const auto root = decode_event(other.bytes())->data;
  other.replace_blocks(other.blocks_without(root));
  CHECK_FALSE(flaw(other.bytes()).empty());
}

TEST_CASE("verify: without prevData the ops are judged against the new tree only") {
  five_ops given;
  auto old = given.message;
  old.payload.erase("prevData");
  for (const auto* action : {"update", "delete"}) old.op(given.first(action)).erase("prev");
  const auto event = decode_provable(old.bytes());
  REQUIRE(event.has_value());
  CHECK_FALSE(event->proof->has_prev_data);
  CHECK_FALSE(event->proof->from_empty);
  CHECK(verify(*event, given.key) == verdict::proven);
  old.op(given.first("create"))["cid"] = given.message.payload.at("prevData");
  CHECK(flaw(old.bytes()) == "op_value");
}

TEST_CASE("verify: an empty commit proves that the tree has not changed") {
  opened_frame empty(test::fixture_frames(chain + "stream.bin").at(25));
  CHECK(empty.payload.at("ops").as_array().empty());
  CHECK(flaw(empty.bytes()).empty());
  empty.set("prevData", empty.payload.at("commit"));
  CHECK(flaw(empty.bytes()) == "prev_data");
}

TEST_CASE("verify: a host that deviates a little is believed where the proof holds") {
  five_ops given;
  auto message = given.message;
  for (const auto* field : {"tooBig", "since", "rebase", "blobs"}) message.payload.erase(field);
  for (std::size_t i = 0; i < message.payload.at("ops").as_array().size(); ++i)
    if (test::text_at(message.op(i), "action") == "delete") message.op(i).erase("cid");
  const auto bytes = message.bytes();
  const std::string unsorted =
      "\xa2"
      "\x62op\x01"
      "\x61t\x67#commit";
  CHECK(judged(unsorted + bytes.substr(unsorted.size()), given.key) == verdict::proven);
}

TEST_CASE("verify: a bad record costs its record only") {
  five_ops given;
  auto message = given.message;
  const auto at = given.first("create");
  const auto cid = std::string(message.op(at).at("cid").at("$link").as_string());
  message.replace_blocks(message.blocks_without(cid));
  const auto event = decode_provable(message.bytes());
  REQUIRE(event.has_value());
  CHECK(event->changes.at(at).flaw == record_flaw::missing_block);
  CHECK(verify(*event, given.key) == verdict::proven);
}

TEST_CASE("verify: a tree with a key that is no path still proves its ops") {
  test::made_commit made;
  const auto value = test::link_json(cid_text_of(made.first));
  const auto node = test::cbor(fmt::format(R"({{"e":[{{"k":{},"p":0,"t":null,"v":{}}}],"l":null}})",
                                           test::bytes_json("com.example.note/b c"), value));
  made.data = cid_text_of(node);
  made.blocks = {node, made.first};
  made.ops = fmt::format(R"([{{"action":"create","path":"com.example.note/b c","cid":{}}}])", value);
  made.old_cid = cid_text_of(test::cbor(R"({"e":[],"l":null})"));
  const auto event = decode_provable(made.bytes());
  REQUIRE(event.has_value());
  CHECK(event->changes.at(0).flaw == record_flaw::bad_path);
  CHECK(event->proof->flaw == "");
  CHECK(event->proof->from_empty);
}

TEST_CASE("verify: names of verdicts, and events without a proof") {
  CHECK(name(verdict::proven) == "proven");
  CHECK(name(verdict::bad_signature) == "bad_signature");
  CHECK(name(verdict::discontinuity) == "discontinuity");
  const auto line = test::fixture_lines("_derived/jetstream/invented_v1.jsonl").at(0);
  const auto event = decode_provable(line);
  REQUIRE(event.has_value());
  CHECK(verify(*event, test::key_at(test::fixture_json(chain + "did_docs.json"), alice, 1025)) == verdict::unproven);
  CHECK(refused("") == "empty");
}
