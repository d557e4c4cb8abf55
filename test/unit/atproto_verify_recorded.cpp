// Verification of recorded messages. They hold real people's posts: failures name an index, and comparisons are made
// outside of assertions, which would print both sides.
#include "atproto_verify_support.hpp"

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

namespace json = boost::json;

struct scenario {
  explicit scenario(std::string_view file)
      : all(test::fixture_json(fmt::format("bluesky-social__indigo/relay-scenarios/{}.json", file))) {}
  const json::array& messages() const { return all.at("messages").as_array(); }
  public_key key() const {
    const auto& method = all.at("accounts").as_array().at(0).at("identity").at("keys").at("atproto");
    return *public_key::from_multikey(std::string_view(method.at("publicKeyMultibase").as_string()));
  }
  static std::string bytes(const json::value& message) {
    return test::frame_of(message.at("frame").at("header"), message.at("frame").at("body"));
  }
  json::value all;
};

/// A #sync message around the CAR of a whole repository.
std::string sync_around(const std::string& blocks, std::string_view did, std::string_view rev) {
  return test::frame("#sync", fmt::format(R"({{"seq":9,"did":"{}","rev":"{}","time":"t","blocks":{}}})", did, rev,
                                          test::bytes_json(blocks)));
}

}  // namespace

TEST_CASE("recorded: 102 frames of 100 accounts are proven by their DID documents") {
  const std::string folder = "bluesky-social__jetstream/firehose/";
  const auto frames = test::fixture_frames(folder + "frames.bin");
  const auto documents = test::fixture_json(folder + "did_docs.json");
  int proven = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    INFO("frame " << i);
    const auto event = decode_provable(frames[i]);
    REQUIRE(event.has_value());
    if (event->kind != event_kind::commit) continue;
    CHECK(verify(*event, test::key_of(documents.at(event->did))) == verdict::proven);
    CHECK(event->proof->has_prev_data);
    ++proven;
  }
  CHECK(proven == 100);
}

TEST_CASE("recorded: six commits of one account, each on top of the one before") {
  const scenario given("post_lifecycle");
  const auto key = given.key();
  std::string data;
  for (const auto& message : given.messages()) {
    const auto event = decode_provable(scenario::bytes(message));
    REQUIRE(event.has_value());
    INFO("seq " << event->seq);
    CHECK_FALSE(message.at("drop").as_bool());
    CHECK(verify(*event, key) == verdict::proven);
    CHECK((data.empty() || data == event->prev_data));
    data = event->data;
  }
  CHECK(given.messages().size() == 6);
}

TEST_CASE("recorded: a #sync is proven by its commit block alone") {
  const scenario given("account_lifecycle");
  int syncs = 0;
  for (const auto& message : given.messages()) {
    const auto event = decode_provable(scenario::bytes(message));
    REQUIRE(event.has_value());
    const bool sync = event->kind == event_kind::sync;
    CHECK(verify(*event, given.key()) == (sync ? verdict::proven : verdict::unproven));
    syncs += sync ? 1 : 0;
  }
  CHECK(syncs == 1);
}

TEST_CASE("recorded: what a relay drops for its number is proven all the same") {
  for (const auto* file : {"legacy", "seq_ordering"}) {
    const scenario given(file);
    std::uint64_t last = 0;
    for (const auto& message : given.messages()) {
      const auto event = decode_provable(scenario::bytes(message));
      REQUIRE(event.has_value());
      INFO(file << ", seq " << event->seq);
      CHECK((event->seq <= last) == message.at("drop").as_bool());
      last = std::max(last, event->seq);
      if (event->kind != event_kind::commit) continue;
      CHECK(verify(*event, given.key()) == verdict::proven);
      CHECK_FALSE(event->proof->has_prev_data);
    }
  }
}

TEST_CASE("recorded: commits from before Sync 1.1 have no proof of the step before") {
  for (const auto* file : {"firehose_commit_4621317030", "firehose_commit_4623075231"}) {
    INFO(file);
    const auto payload = test::fixture_json(fmt::format("bluesky-social__indigo/firehose-json/{}.json", file));
    const auto event = decode_provable(test::frame_of({{"t", "#commit"}, {"op", 1}}, payload));
    REQUIRE(event.has_value());
    REQUIRE(event->proof.has_value());
    CHECK(event->proof->flaw == "");
    CHECK_FALSE(event->proof->has_prev_data);
    CHECK_FALSE(event->changes.at(0).json.empty());
  }
}

TEST_CASE("recorded: a signature that is right does not make up for another account's DID") {
  const std::string folder = "bluesky-social__indigo/car/";
  const auto document = test::fixture_json(folder + "greenground.didDoc.json");
  const auto blocks = test::read_fixture(folder + "greenground.repo.car");
  const auto parts = car::read(blocks);
  REQUIRE(parts.has_value());
  const auto head = read_signed_commit(parts->find(parts->root()));
  REQUIRE(head.has_value());
  const auto documents_did = std::string(document.at("id").as_string());
  CHECK(decode_provable(sync_around(blocks, documents_did, head->rev)).error().text == "did_mismatch");
  const auto event = decode_provable(sync_around(blocks, head->did, head->rev));
  REQUIRE(event.has_value());
  CHECK(verify(*event, test::key_of(document)) == verdict::proven);
}
