// Streams and buckets as they are made, accepted or refused (X2), and a bucket's compare-and-set.
#include "../support/nats_process.hpp"
#include "recordkv/config.hpp"
#include "recordkv/stage/buffer_stream.hpp"

#include <boost/json.hpp>

using namespace recordkv;
using namespace recordkv::test;

namespace {

nats::stream_spec plain() { return {.name = "S", .subjects = {"s.>"}, .max_msgs = 100}; }

std::string mismatch(nats_rig& rig, nats::stream_spec spec) {
  const auto refused = rig.run(nats::ensure(rig.nc, std::move(spec)));
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == errc::mismatch);
  return refused.error().text;
}

kv::write writing(std::string key, std::string value, std::uint64_t expected = 0) {
  return {.key = std::move(key), .value = std::move(value), .expected = expected};
}

struct bucket_rig : nats_rig {
  bucket_rig() { REQUIRE(run(b.open()).has_value()); }
  result<std::uint64_t> update(kv::write w) { return run(b.update(std::move(w))); }
  kv::entry get(std::string key) {
    auto e = run(b.get(std::move(key)));
    if (!e) FAIL(e.error().text);
    return *e;
  }
  kv::bucket b{nc, "repo"};
};

}  // namespace

TEST_CASE("a stream is made where it is absent, and accepted where it is") {
  nats_rig rig;
  const auto made = rig.run(nats::ensure(rig.nc, plain()));
  REQUIRE(made.has_value());
  CHECK(made->made);
  CHECK_FALSE(made->state.created.empty());
  rig.publish("s.a", "1");
  const auto again = rig.run(nats::ensure(rig.nc, plain()));
  REQUIRE(again.has_value());
  CHECK_FALSE(again->made);
  CHECK(again->state.created == made->state.created);
  CHECK(again->state.messages == 1);
  auto other_limits = plain();
  other_limits.max_msgs = 7;  // a person may have changed them
  CHECK(rig.run(nats::ensure(rig.nc, other_limits)).has_value());
  other_limits.limits_are_contract = true;
  CHECK(mismatch(rig, other_limits).find("max_msgs is 100, must be 7") != std::string::npos);
}

TEST_CASE("a stream with other settings is refused, with both sides of each difference") {
  nats_rig rig;
  rig.stream("S", R"({"subjects":["s.*","t.*"],"max_age":60000000000,"max_msgs_per_subject":5,"discard":"old"})");
  const auto words_ = mismatch(rig, plain());
  for (const auto* part :
       {"stream S exists with other settings", "subjects is s.*,t.*, must be s.>", "max_age is 60000000000, must be 0",
        "max_msgs_per_subject is 5, must be -1", "discard is old, must be new"}) {
    INFO(part);
    CHECK(words_.find(part) != std::string::npos);
  }
}

TEST_CASE("a bucket that a stock client made is accepted") {
  bucket_rig rig;
  rig.stream("KV_record",
             R"({"subjects":["$KV.record.>"],"max_msgs_per_subject":1,"discard":"new","max_bytes":-1,"max_msgs":-1,
    "allow_rollup_hdrs":true,"deny_delete":true,"deny_purge":false,"allow_direct":true,"duplicate_window":120000000000,
    "max_consumers":-1,"max_msg_size":-1,"retention":"limits","storage":"file","num_replicas":1})");
  kv::bucket stock(rig.nc, "record");
  const auto opened = rig.run(stock.open());
  REQUIRE(opened.has_value());
  CHECK_FALSE(opened->made);
  rig.stream("KV_deep", R"({"subjects":["$KV.deep.>"],"max_msgs_per_subject":64,"discard":"new","allow_direct":true})");
  kv::bucket history(rig.nc, "deep");
  const auto refused = rig.run(history.open());
  REQUIRE(refused.has_error());
  CHECK(refused.error().text.find("max_msgs_per_subject is 64, must be 1") != std::string::npos);
}

TEST_CASE("a bucket of ours is what stock clients expect") {
  bucket_rig rig;
  const auto c = rig.api("STREAM.INFO.KV_repo").at("config").as_object();
  CHECK(c.at("subjects").as_array().at(0).as_string() == "$KV.repo.>");
  CHECK(c.at("max_msgs_per_subject").as_int64() == 1);
  for (const auto* flag : {"allow_direct", "allow_rollup_hdrs", "deny_delete"}) CHECK(c.at(flag).as_bool());
  CHECK(c.at("discard").as_string() == "new");
}

TEST_CASE("compare-and-set: only who has seen the newest value may write") {
  bucket_rig rig;
  const auto first = rig.update(writing("k", "1"));
  REQUIRE(first.has_value());
  CHECK(rig.update(writing("k", "2")).error().code == errc::conflict);
  const auto second = rig.update(writing("k", "2", *first));
  REQUIRE(second.has_value());
  CHECK(rig.update(writing("k", "3", *first)).error().code == errc::conflict);
  CHECK(rig.get("k").value == "2");
  CHECK(rig.get("k").seq == *second);
  CHECK(rig.run(rig.b.get("absent")).error().code == errc::not_found);
}

TEST_CASE("many writes at once: each has its own answer") {
  bucket_rig rig;
  const auto there = rig.update(writing("taken", "0"));
  REQUIRE(there.has_value());
  std::vector<kv::write> writes;
  for (int i = 0; i < 200; ++i) writes.push_back(writing(fmt::format("k{}", i), std::to_string(i)));
  writes.insert(writes.begin() + 100, writing("taken", "1"));
  const auto answers = rig.run(rig.b.update_many(std::move(writes)));
  REQUIRE(answers.size() == 201);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (i == 100)
      CHECK(answers[i].error().code == errc::conflict);
    else
      CHECK(answers[i].has_value());
  }
}

TEST_CASE("many reads at once: absent keys and deleted ones stand in their places") {
  bucket_rig rig;
  auto kept = writing("kept", "value");
  kept.headers.push_back({"status", "odd"});
  REQUIRE(rig.update(std::move(kept)).has_value());
  const auto gone = rig.update(writing("gone", "value"));
  auto marker = writing("gone", "", *gone);
  marker.headers.push_back({"KV-Operation", "DEL"});
  const auto deleted = rig.update(std::move(marker));
  REQUIRE(deleted.has_value());
  const auto found = rig.run(rig.b.get_many({"absent", "kept", "gone", "kept"}));
  REQUIRE(found.has_value());
  REQUIRE(found->size() == 4);
  CHECK((*found)[0].seq == 0);
  CHECK_FALSE((*found)[0].deleted);
  CHECK((*found)[1].value == "value");
  CHECK((*found)[1].seq == 1);
  CHECK((*found)[2].deleted);
  CHECK((*found)[2].seq == *deleted);
  CHECK((*found)[3].value == "value");
  CHECK(rig.get("gone").deleted);
  CHECK(rig.get("kept").header_value("status") == "odd");
  CHECK(rig.update(writing("gone", "again", *deleted)).has_value());
}

TEST_CASE("the newest message of a wildcard, and the first from a sequence on, or that there is none") {
  nats_rig rig;
  rig.stream("S", R"({"subjects":["s.>"]})");
  for (const auto* subject : {"s.a.1", "s.b.1", "s.a.2", "s.b.2"}) rig.publish(subject, subject);
  const auto newest = rig.run(nats::last_message(rig.nc, "S", "s.a.*"));
  REQUIRE(newest.has_value());
  CHECK(newest->subject == "s.a.2");
  for (const auto [from, found] : {std::pair(1, 1), std::pair(2, 3), std::pair(3, 3)}) {
    const auto next = rig.run(nats::next_message(rig.nc, "S", "s.a.*", static_cast<std::uint64_t>(from)));
    REQUIRE(next.has_value());
    CHECK(next->seq == static_cast<std::uint64_t>(found));
    CHECK(next->data == next->subject);
  }
  for (const auto& none :
       {rig.run(nats::next_message(rig.nc, "S", "s.a.*", 4)), rig.run(nats::next_message(rig.nc, "S", "s.a.*", 100)),
        rig.run(nats::next_message(rig.nc, "S", "s.c.*", 1)), rig.run(nats::last_message(rig.nc, "S", "s.c.*"))}) {
    REQUIRE(none.has_error());
    CHECK(none.error().code == errc::not_found);
  }
}

TEST_CASE("the server tells its API level; a stream that is not there can not be removed") {
  nats_rig rig;
  CHECK(rig.api_level() >= 1);
  const auto removed = rig.run(kv::remove_stream(rig.nc, "nothing"));
  REQUIRE(removed.has_error());
  CHECK(removed.error().code == errc::not_found);
}

TEST_CASE("X2: the buffer is a work queue that discards new messages and keeps what has no consumer yet") {
  nats_rig rig;
  const config cfg;
  stage_context ctx{rig.nc, cfg, rig.counters, {}};
  const auto made = rig.run(stages::open_ingest_stream(ctx));
  REQUIRE(made.has_value());
  CHECK(made->made);
  const auto c = rig.api("STREAM.INFO.ingest").at("config").as_object();
  CHECK(c.at("retention").as_string() == "workqueue");
  CHECK(c.at("discard").as_string() == "new");
  CHECK(c.at("max_msgs").as_int64() == cfg.ingest.max_msgs);
  CHECK(c.at("max_bytes").as_int64() == cfg.ingest.max_bytes);
  for (const auto* flag : {"deny_delete", "deny_purge"}) CHECK(c.at(flag).as_bool());
  CHECK(c.at("subjects").as_array().size() == 1);
  for (const auto* p : {"0", "7", "f"}) rig.publish(std::string("ingest.") + p, "frame");
  CHECK(rig.info("ingest").messages == 3);
  const auto again = rig.run(stages::open_ingest_stream(ctx));
  REQUIRE(again.has_value());
  CHECK_FALSE(again->made);
  rig.remove("ingest");
  rig.stream("ingest", R"({"subjects":["ingest.*"],"retention":"interest","discard":"new"})");
  const auto wrong = rig.run(stages::open_ingest_stream(ctx));
  REQUIRE(wrong.has_error());
  CHECK(wrong.error().code == errc::mismatch);
  CHECK(wrong.error().text.find("retention is interest, must be workqueue") != std::string::npos);
}
