// The signed chain through the whole pipeline: 63 real frames of three accounts, with the outcome that its manifest
// names for each.
#include "../unit/atproto_verify_support.hpp"
#include "kv_verify_rig.hpp"
#include "recordkv/atproto/syntax.hpp"

using namespace recordkv;
using namespace recordkv::test;

namespace {

const std::string folder = "_derived/signed-chain/";

/// The pipeline with the real decoder and verdict, and a directory that knows the accounts' documents by number.
struct chain_rig : verify_rig {
  explicit chain_rig(unsigned workers) : verify_rig(workers), documents(fixture_json(folder + "did_docs.json")) {
    decode = stages::decode_on(pool, atproto::decode_provable);
    verify.verify = atproto::verify;
    rules.now = [] {
      return std::chrono::system_clock::time_point(std::chrono::microseconds(atproto::tid_micros("3mn7zsui24a2b")));
    };
  }
  /// The directory goes on to what it says at this frame.
  void go_to(std::uint64_t seq) {
    now_at = std::max(now_at, seq);
    for (const auto& [did, versions] : documents.as_object())
      if (versions.at(0).at("fromSeq").to_number<std::uint64_t>() <= now_at)
        directory.says.insert_or_assign(std::string(did),
                                        identity::account_identity{.key = key_at(documents, did, now_at).multikey()});
  }

  boost::json::value documents;
  std::uint64_t now_at = 0;
};

/// What a frame has changed.
struct counts {
  explicit counts(const chain_rig& rig)
      : commits(rig.counters.value("commits")),
        puts(rig.out.sent.size()),
        written(rig.states.written.size()),
        unwanted(rig.ignored("unwanted")) {}
  std::uint64_t commits, puts, written, unwanted;
};

void check_outcome(const chain_rig& rig, const boost::json::object& frame, const counts& before) {
  const counts after(rig);
  const auto expect = text_at(frame, "expect");
  const auto did = text_at(frame, "did");
  const auto* state = rig.states.find(did);
  if (expect == "apply" || expect == "buffer-or-apply" || expect == "desync") {
    const bool first_and_empty = state == nullptr;  // an account begins with a wanted record
    CHECK(after.commits == before.commits + (first_and_empty ? 0 : 1));
    CHECK(after.unwanted == before.unwanted + (first_and_empty ? 1 : 0));
    if (!first_and_empty) CHECK(state->rev == text_at(frame, "rev"));
  }
  if (expect == "desync") CHECK(rig.reasons(did) == words{"gap"});
  if (expect == "resync") {
    CHECK(state->seen == text_at(frame, "rev"));
    CHECK(std::ranges::find(state->reasons, "sync") != state->reasons.end());
  }
  if (expect == "ignore" || expect == "info" || expect == "close") {
    CHECK(after.commits == before.commits);
    CHECK(after.puts == before.puts);
    CHECK(after.written == before.written);
  }
}

void feed(chain_rig& rig, bool check) {
  const auto manifest = fixture_json(folder + "manifest.json");
  const auto frames = fixture_frames(folder + "stream.bin");
  for (const auto& value : manifest.at("frames").as_array()) {
    const auto& frame = value.as_object();
    INFO("frame " << frame.at("index") << ": " << text_at(frame, "note"));
    if (const auto* seq = frame.if_contains("seq")) rig.go_to(seq->to_number<std::uint64_t>());
    const counts before(rig);
    const auto settled = rig.in.settled.size();
    rig.in.deliver(frames.at(frame.at("index").to_number<std::size_t>()));
    REQUIRE(rig.settles(settled + 1));
    if (check) check_outcome(rig, frame, before);
  }
}

}  // namespace

TEST_CASE("the signed chain: each frame has the outcome of the manifest, and none when it comes again") {
  for (const unsigned workers : {0U, 2U}) {
    chain_rig rig(workers);
    rig.start();
    feed(rig, true);
    CHECK(rig.skipped("bad_signature") == 0);
    CHECK(rig.counters.value("key_look_ups", "bad_signature") == 1);  // carol changes her key without a word
    const std::string first = "did:plc:alicesharedaaaaaaaaaaaaa", second = "did:plc:bobsharedaaaaaaaaaaaaaaa",
                      third = "did:web:carol.shared.example";
    CHECK(rig.reasons(first) == words{"sync", "gap"});
    CHECK(rig.reasons(second) == words{"gap", "reactivated", "sync"});
    CHECK(rig.reasons(third).empty());
    CHECK(rig.states.find(third)->upstream_status == "deleted");
    for (const auto& did : {first, second, third}) {
      CHECK(rig.states.find(did)->verified);
      CHECK(rig.states.find(did)->complete);
    }
    const auto puts = rig.out.sent.size();
    words revs;
    for (const auto& did : {first, second, third}) revs.push_back(rig.states.find(did)->rev);
    feed(rig, false);
    CHECK(rig.out.sent.size() == puts);
    for (const auto& did : {first, second, third}) {
      CHECK(rig.states.find(did)->rev == revs.front());
      revs.erase(revs.begin());
    }
    CHECK(rig.skipped("bad_signature") == 0);
  }
}
