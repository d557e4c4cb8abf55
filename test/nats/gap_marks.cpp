// A gap of the source marks the accounts once, and is noted only after the marks are durable.
#include "repair/gap_marks.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "recordkv/kv/store_meta.hpp"

#include <algorithm>
#include <set>

using namespace recordkv;
using namespace recordkv::test;
using namespace recordkv::stages;

namespace {

const std::string alice = "did:plc:44ybard66vv44zksje25o7dz", bob = "did:plc:abcdefghijklmnopqrstuvwx";

struct gap_rig : nats_rig {
  gap_rig() {
    REQUIRE(run(kv::open_store(nc, "record", 16, 1)).has_value());
    REQUIRE(run(cursors.open()).has_value());
    for (const auto& did : {alice, bob})
      publish("$KV.repo." + kv::repo_key(did, 16), kv::to_json({.did = did, .rev = "3kabcdefgh222"}));
  }
  ~gap_rig() { stop(); }

  void start(std::vector<std::string> labels = kv::partition_labels()) {
    stop();
    ended = false;
    auto mark = [this](std::vector<std::string> dids) { return marks(this, std::move(dids)); };
    gaps = std::make_unique<gap_marks>(ctx, std::move(labels), mark, 20ms);
    asio::co_spawn(io, gaps->run(), [this](std::exception_ptr) { ended = true; });
  }
  void stop() {
    if (!gaps) return;
    gaps->close();
    held = false;
    released.notify();
    CHECK(waits_for([&] { return ended; }));
    gaps.reset();
  }
  static task<result<std::size_t>> marks(gap_rig* self, std::vector<std::string> dids) {
    ++self->calls;
    while (self->held) co_await self->released.wait();
    if (self->fails) co_return fail(errc::timed_out, "not now");
    self->marked.insert(self->marked.end(), dids.begin(), dids.end());
    co_return dids.size();
  }
  void gap(std::string_view source, unsigned from, unsigned to, std::string_view seen = "2026-11-28T09:00:00.000Z") {
    publish(fmt::format("$KV.cursor.gap.{}", source),
            fmt::format(R"([{{"from":null,"to":null,"cause":"clipped","from_seq":{},"to_seq":{},"seen":"{}"}}])", from,
                        to, seen));
  }
  bool becomes_marked(std::size_t n) {
    return waits_for([&] { return marked.size() >= n; });
  }
  std::size_t notes() {
    auto info = api("STREAM.INFO.KV_repo", R"({"subjects_filter":"$KV.repo.gaps.>"})");
    const auto* subjects = info.at("state").as_object().if_contains("subjects");
    return subjects == nullptr ? 0 : subjects->as_object().size();
  }
  bool becomes_noted(std::size_t n) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (notes() != n)
      if (std::chrono::steady_clock::now() > until) return false;
    return true;
  }
  /// It has looked again since now, twice.
  void looks_again() {
    const auto before = info("KV_cursor").last_seq;
    publish("$KV.cursor.gap.probe", "[]");
    CHECK(info("KV_cursor").last_seq == before + 1);
    event never;
    for (int i = 0; i < 5; ++i) run(pause(never));
  }
  static task<bool> pause(event& e) { co_return co_await e.wait_for(20ms); }

  config cfg;
  meters counted;
  stage_context ctx{nc, cfg, counted, {.api_level = api_level()}};
  kv::bucket cursors{nc, "cursor"};
  words marked;
  int calls = 0;
  bool held = false, ended = false, fails = false;
  event released;
  std::unique_ptr<gap_marks> gaps;
};

}  // namespace

TEST_CASE("a gap marks all accounts, once, and is noted once the marks are durable") {
  gap_rig rig;
  rig.held = true;
  rig.gap("firehose.a", 5, 9);
  rig.start();
  REQUIRE(rig.waits_for([&] { return rig.calls == 1; }));
  CHECK(rig.notes() == 0);
  rig.held = false;
  rig.released.notify();
  REQUIRE(rig.becomes_marked(2));
  std::ranges::sort(rig.marked);
  CHECK(rig.marked == words{alice, bob});
  REQUIRE(rig.becomes_noted(16));
  CHECK(rig.waits_for([&] { return rig.logged("2 accounts are asked at their PDS"); }));

  rig.start();  // after a restart, too
  rig.looks_again();
  CHECK(rig.marked.size() == 2);

  rig.gap("firehose.b", 5, 9);  // another source's, while it runs
  REQUIRE(rig.becomes_marked(4));
  rig.gap("firehose.b", 5, 12);  // the same place again, and more is missing
  REQUIRE(rig.becomes_marked(6));
}

TEST_CASE("a gap is not noted while marking fails, and a process sees to its own partitions") {
  gap_rig rig;
  rig.fails = true;
  rig.gap("firehose.a", 5, 9);
  rig.start({kv::partition_of(alice)});
  REQUIRE(rig.waits_for([&] { return rig.calls >= 2; }));
  CHECK(rig.notes() == 0);
  rig.fails = false;
  REQUIRE(rig.becomes_marked(1));
  CHECK(rig.marked.front() == alice);
  REQUIRE(rig.becomes_noted(1));
  rig.marked.clear();
  rig.start({kv::partition_of(bob)});
  REQUIRE(rig.becomes_marked(1));
  CHECK(rig.marked == words{bob});
  REQUIRE(rig.becomes_noted(2));
}

TEST_CASE("a gap whose end is not known is waited for, but not for ever") {
  gap_rig rig;
  rig.gap("firehose.a", 5, 0, "2999-01-01T00:00:00.000Z");
  rig.start();
  rig.looks_again();
  CHECK(rig.calls == 0);
  rig.gap("firehose.a", 5, 0);
  REQUIRE(rig.becomes_marked(2));
}

TEST_CASE("without a gap nothing is read and nothing written") {
  gap_rig rig;
  const auto before = rig.info("KV_repo").last_seq;
  rig.start();
  rig.looks_again();
  CHECK(rig.calls == 0);
  CHECK(rig.info("KV_repo").last_seq == before);
}
