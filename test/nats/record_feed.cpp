// A reader's position at NATS: whatever is settled is acknowledged there in the end, also when the durable is rewound
// in between (docs/invariants.md X6).
#include "recordkv/indexer.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"

#include <boost/json.hpp>

using namespace recordkv;
using namespace recordkv::test;

namespace {

struct feed_rig : nats_rig {
  feed_rig() {
    if (auto opened = run(kv::open_store(nc, "record", 16, 1)); !opened) FAIL(opened.error().text);
    context = std::make_unique<stage_context>(stage_context{nc, cfg, counters, {.api_level = api_level()}, &board});
    feed = std::make_unique<record_feed>(*context, feed_spec{.durable = "mine", .collections = {"*"}});
  }
  void put(int from, int to) {
    for (int n = from; n <= to; ++n)
      publish("$KV.record." + kv::record_key::of("did:web:a.example", "app.bsky.feed.like", std::to_string(n)).text(),
              "{}");
  }
  void open() {
    if (auto opened = run(feed->open()); !opened) FAIL(opened.error().text);
  }
  void read() {
    auto batch = run(feed->next());
    if (!batch) FAIL(batch.error().text);
    for (const auto& r : *batch) handed_out.push_back(r.seq);
  }
  std::int64_t floor() { return api("CONSUMER.INFO.KV_record.mine").at("ack_floor").at("stream_seq").as_int64(); }

  config cfg;
  stats_board board;
  std::unique_ptr<stage_context> context;
  std::unique_ptr<record_feed> feed;
  numbers handed_out;
};

}  // namespace

TEST_CASE("X6: what is settled between a rewind and its new delivery is acknowledged by that delivery") {
  feed_rig rig;
  rig.put(1, 6);
  rig.open();
  while (rig.handed_out.size() < 6) rig.read();
  std::optional<result<record_batch>> more;
  asio::co_spawn(rig.io, rig.feed->next(), [&](std::exception_ptr e, result<record_batch> r) {
    if (e) std::rethrow_exception(e);
    more.emplace(std::move(r));
  });
  auto rewinds = rig.nc.subscribe("$JS.API.CONSUMER.RESET.KV_record.mine");
  REQUIRE(rewinds.has_value());
  rig.restart_server();
  // The request to begin again after 0 is sent, its answer has not been read: nothing has been delivered again.
  REQUIRE(rig.waits_for([&] { return !rewinds->take().empty(); }));
  rig.feed->settle(4);
  CHECK(rig.waits_for([&] { return rig.floor() == 4; }));
  CHECK(rig.feed->unsettled() == 2);
  rig.feed->settle(6);
  CHECK(rig.waits_for([&] { return rig.floor() == 6; }));
  rig.put(7, 7);
  REQUIRE(rig.waits_for([&] { return more.has_value(); }));
  REQUIRE(more->has_value());
  CHECK((*more)->size() == 1);  // nothing was handed out twice
  CHECK((*more)->last_seq() == 7);
  rig.run([](record_feed& feed) -> task<bool> {
    co_await feed.finish();
    co_return true;
  }(*rig.feed));
}
