// Rule X21: the rows are the fold of the store, whatever is killed and restarted, and of no other store.
#include "index_rig.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/projection/configured_views.hpp"

#include <boost/json.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <map>

using namespace recordkv;
using namespace recordkv::test;

namespace {

const std::string like = "app.bsky.feed.like";
const words accounts{"did:plc:44ybard66vv44zksje25o7dz", "did:plc:abcdefghijklmnopqrstuvwx", "did:web:a.example",
                     "did:plc:z72i7hdynmk6r22z27h6tvur"};

struct index_rig : view_rig {
  index_rig() : view_rig("likes", "KV_record", "$KV.record.>") {
    define_columns(R"([ { name = "subject", pointer = "/subject/uri", type = "text", required = true } ])");
  }
  void define_columns(std::string_view columns) {
    define(fmt::format("[[view]]\nname = \"likes\"\ncollection = \"{}\"\ncount = [\"subject\"]\ncolumns = {}\n", like,
                       columns));
  }

  std::string key(int account, int rkey) const {
    return kv::record_key::of(accounts[account % accounts.size()], like, std::to_string(rkey)).text();
  }
  void put(int account, int rkey, int n) {
    publish("$KV.record." + key(account, rkey), fmt::format(R"({{"subject":{{"uri":"at://{}"}}}})", n));
    fold[name(account, rkey)] = fmt::format("at://{}", n);
  }
  void put_raw(int account, int rkey, std::string json) {
    publish("$KV.record." + key(account, rkey), std::move(json));
    fold.erase(name(account, rkey));
  }
  void remove(int account, int rkey) {
    publish("$KV.record." + key(account, rkey), "", {{"KV-Operation", "DEL"}});
    fold.erase(name(account, rkey));
  }
  static std::string name(int account, int rkey) {
    return fmt::format("{}/{}", accounts[account % accounts.size()], rkey);
  }

  std::map<std::string, std::string> rows() const {
    std::map<std::string, std::string> out;
    for (const auto& r : ask("likes").rows)
      out[std::get<std::string>(r[0]) + "/" + std::get<std::string>(r[2])] = std::get<std::string>(r[3]);
    return out;
  }

  std::map<std::string, std::string> fold;
};

}  // namespace

TEST_CASE("X21: the rows equal the fold of the store, over restarts of the stage") {
  index_rig rig;
  std::uint64_t written = 0;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 40; ++i) rig.put(i, i % 13 + round, 100 * round + i);
    rig.start();
    for (int i = 0; i < 10; ++i) rig.remove(i, i % 13 + round);
    rig.put_raw(3, 3 + round, R"({"subject":"of another shape"})");
    rig.put(1, 5, round);
    REQUIRE(rig.folded());
    CHECK(rig.rows() == rig.fold);
    REQUIRE(rig.stop().has_value());
    CHECK(rig.rows_written > written);
    written = rig.rows_written;
  }
  const auto before = rig.position();
  rig.start();
  rig.put(2, 77, 7);
  REQUIRE(rig.folded());
  REQUIRE(rig.stop().has_value());
  CHECK(rig.rows_written == written + 1);  // nothing of before came again
  CHECK(rig.rows() == rig.fold);
  CHECK(rig.position().created == before.created);
}

TEST_CASE("X21: every partition's position moves with each batch, to its last sequence") {
  index_rig rig;
  rig.put(0, 1, 1);
  rig.put(1, 1, 1);
  rig.start();
  REQUIRE(rig.folded());
  const auto at = rig.position();
  CHECK(at.seq.size() == 16);
  for (const auto& [label, seq] : at.seq) CHECK(seq == 2);
  CHECK(at.created == rig.info("KV_record").created);
  const auto meta = rig.run(kv::read_meta(rig.nc, "record"));
  REQUIRE(meta.has_value());
  CHECK(at.generation == meta->generation);
  REQUIRE(rig.stop().has_value());
}

TEST_CASE("X21: a server that restarts under the stage costs no row and brings none twice") {
  index_rig rig;
  for (int i = 0; i < 20; ++i) rig.put(i, i, i);
  rig.start();
  REQUIRE(rig.folded());
  rig.restart_server();
  for (int i = 10; i < 30; ++i) rig.put(i, i, 1000 + i);
  REQUIRE(rig.folded());
  CHECK(rig.rows() == rig.fold);
  REQUIRE(rig.stop().has_value());
  CHECK(rig.rows_written == 40);  // every version once
}

TEST_CASE("X21: of a store that was recreated, and of another generation, the view is built anew, and says so") {
  index_rig rig;
  for (int i = 0; i < 10; ++i) rig.put(i, i, i);
  rig.start();
  REQUIRE(rig.folded());
  REQUIRE(rig.stop().has_value());
  SECTION("recreated, and already longer than before") {
    for (const auto* s : {"KV_record", "KV_repo"}) rig.nats_rig::remove(s);
    rig.open();
    rig.fold.clear();
    for (int i = 0; i < 30; ++i) rig.put(i, 100 + i, i);
  }
  SECTION("restored without its states, and already longer than before") {
    rig.nats_rig::remove("KV_repo");
    rig.open();
    rig.put(0, 50, 50);
  }
  SECTION("another generation") {
    auto meta = rig.run(kv::read_meta(rig.nc, "record"));
    REQUIRE(meta.has_value());
    ++meta->generation;
    REQUIRE(rig.run(kv::write_meta(rig.nc, "record", *meta)).has_value());
    rig.put(0, 50, 50);
  }
  const auto before = rig.rows_written;
  rig.start();
  REQUIRE(rig.folded());
  CHECK(rig.rows() == rig.fold);
  CHECK(rig.logged("view likes: the store was recreated, restored or cut back since; rebuilding from its first key"));
  REQUIRE(rig.stop().has_value());
  CHECK(rig.rows_written == before + rig.fold.size());
}

TEST_CASE("X20: a generation that rises while the view is read makes it new, once") {
  index_rig rig;
  for (int i = 0; i < 10; ++i) rig.put(i, i, i);
  rig.start();
  REQUIRE(rig.folded());
  const auto before = rig.builds().live->number;
  auto meta = rig.run(kv::read_meta(rig.nc, "record"));
  REQUIRE(meta.has_value());
  ++meta->generation;
  REQUIRE(rig.run(kv::write_meta(rig.nc, "record", *meta)).has_value());
  REQUIRE(rig.waits_for([&] {
    const auto there = rig.builds();
    return there.live && there.live->number > before && there.live->at.generation == meta->generation;
  }));
  rig.put(0, 50, 50);
  REQUIRE(rig.folded());
  CHECK(rig.rows() == rig.fold);
  REQUIRE(rig.stop().has_value());
}

TEST_CASE("X21: a store that is cut back under the running stage is noticed before anything new comes") {
  index_rig rig;
  for (int i = 0; i < 10; ++i) rig.put(i, i, i);
  rig.start();
  REQUIRE(rig.folded());
  rig.server.remember();
  REQUIRE(rig.waits_for([&] { return rig.nc.connects() == 2; }));
  const auto remembered = rig.fold;
  for (int i = 0; i < 5; ++i) rig.put(i, 50 + i, i);
  rig.remove(7, 7);
  REQUIRE(rig.folded());
  CHECK(rig.rows() == rig.fold);
  const auto before = rig.builds().live->number;
  rig.server.set_back();
  REQUIRE(rig.waits_for([&] { return rig.nc.connects() == 3; }));
  rig.fold = remembered;
  REQUIRE(rig.waits_for([&] { return rig.builds().live->number > before && !rig.builds().next; }));
  CHECK(rig.rows() == rig.fold);
  CHECK(rig.logged("view likes: the store was recreated, restored or cut back since; rebuilding from its first key"));
  rig.put(1, 99, 1);
  REQUIRE(rig.folded());
  CHECK(rig.rows() == rig.fold);
  REQUIRE(rig.stop().has_value());
}

TEST_CASE("X21: a position that another process moved ends the stage") {
  index_rig rig;
  rig.put(0, 1, 1);
  rig.start();
  REQUIRE(rig.folded());
  {
    auto plans = projection::configured_views(rig.cfg);
    REQUIRE(plans.has_value());
    auto other = view::store::open(rig.io, rig.cfg.index.database);
    REQUIRE(other.has_value());
    const auto live = rig.builds().live;
    REQUIRE(live.has_value());
    auto next = live->at;
    for (auto& [label, seq] : next.seq) ++seq;
    const std::vector<view::change> none;
    REQUIRE(rig.run((*other)->apply(plans->front(), live->number, none, live->at, next)).has_value());
  }
  rig.put(0, 2, 2);
  REQUIRE(rig.waits_for([&] { return rig.ended.has_value(); }));
  REQUIRE(rig.ended->has_error());
  CHECK(rig.ended->error().code == errc::lease_lost);
}

TEST_CASE("X21: a database that its own crash has set back is folded on from there") {
  index_rig rig;
  rig.put(0, 1, 1);
  rig.start();
  REQUIRE(rig.folded());
  const auto before = rig.position();
  rig.put(0, 2, 2);
  rig.put(1, 3, 3);
  REQUIRE(rig.folded());
  {
    auto plans = projection::configured_views(rig.cfg);
    REQUIRE(plans.has_value());
    auto crashed = view::store::open(rig.io, rig.cfg.index.database);
    REQUIRE(crashed.has_value());
    const auto live = rig.builds().live;
    REQUIRE(live.has_value());
    const std::vector<view::change> lost{{.erase = true, .did = accounts[0], .collection = like, .rkey = "2"}};
    REQUIRE(rig.run((*crashed)->apply(plans->front(), live->number, lost, live->at, before)).has_value());
  }
  CHECK_FALSE(rig.rows() == rig.fold);
  rig.put(0, 4, 4);
  REQUIRE(rig.folded());
  CHECK(rig.rows() == rig.fold);
  REQUIRE(rig.stop().has_value());
}

TEST_CASE("a view takes exactly its collection") {
  index_rig rig;
  rig.publish("$KV.record." + kv::record_key::of(accounts[0], like + ".more", "1").text(),
              R"({"subject":{"uri":"at://no"}})");
  rig.publish("$KV.record." + kv::record_key::of(accounts[0], "app.bsky.feed.post", "1").text(),
              R"({"subject":{"uri":"at://no"}})");
  // PostgreSQL can't even refuse that one: a NUL ends its text.
  for (const auto odd : {std::string_view("a\0b", 3), std::string_view("\xc3\xa9")})
    rig.publish("$KV.record." + kv::record_key::of(accounts[0], like, odd).text(), R"({"subject":{"uri":"at://no"}})");
  rig.put(0, 1, 1);
  rig.start();
  REQUIRE(rig.folded());
  CHECK(rig.rows() == rig.fold);
  REQUIRE(rig.stop().has_value());
}

TEST_CASE(
    "a view is at the store's end when nothing of its own is left, whatever else comes after, or if it has nothing") {
  index_rig rig;
  const bool has_some = GENERATE(true, false);
  for (int i = 0; has_some && i < 5; ++i) rig.put(i, i, i);
  for (int i = 0; i < 5; ++i)
    rig.publish("$KV.record." + kv::record_key::of(accounts[0], "app.bsky.feed.post", std::to_string(i)).text(), "{}");
  rig.start();
  REQUIRE(rig.waits_for([&] { return rig.builds().live && rig.builds().live->number > 1 && !rig.builds().next; }));
  CHECK(rig.rows() == rig.fold);
  REQUIRE(rig.stop().has_value());
}

TEST_CASE("X21: a rebuild that is wished for stands beside the rows that answer, and takes their place whole") {
  index_rig rig;
  for (int i = 0; i < 50; ++i) rig.put(i, i, i % 7);
  rig.start();
  REQUIRE(rig.folded());
  const auto before = rig.builds().live->number;
  {
    auto other = view::store::open(rig.io, rig.cfg.index.database);
    REQUIRE(other.has_value());
    REQUIRE(rig.run((*other)->want_rebuild("likes")).has_value());
  }
  REQUIRE(rig.waits_for([&] {
    CHECK(rig.rows() == rig.fold);  // at every look
    const auto there = rig.builds();
    return there.live->number > before && !there.next;
  }));
  CHECK(rig.rows() == rig.fold);
  rig.put(3, 3, 99);
  rig.remove(4, 4);
  REQUIRE(rig.folded());
  CHECK(rig.rows() == rig.fold);
  REQUIRE(rig.stop().has_value());
  const auto names = rig.run(nats::consumer_names(rig.nc, "KV_record"));
  REQUIRE(names.has_value());
  CHECK(*names == words{"view-likes"});  // that of the next build has gone
}

TEST_CASE("X21: a changed definition is built beside the old one, whose rows stay right meanwhile") {
  index_rig rig;
  for (int i = 0; i < 50; ++i) rig.put(i, i, i % 7);
  rig.start();
  REQUIRE(rig.folded());
  REQUIRE(rig.stop().has_value());
  rig.define_columns(R"([ { name = "subject", pointer = "/subject/uri", type = "text", required = true },
                  { name = "at", value = "rkey", index = true } ])");
  for (int i = 0; i < 20; ++i) rig.put(i, i, 100 + i);
  rig.start();
  REQUIRE(rig.folded());
  REQUIRE(rig.waits_for([&] { return !rig.builds().next.has_value(); }));
  CHECK(rig.rows() == rig.fold);
  const auto again = view::query(rig.cfg.index.database, "likes", {}, 1);
  REQUIRE(again.has_value());
  CHECK(again->columns.back().name == "at");
  REQUIRE(rig.stop().has_value());
}

namespace {

void narrow(index_rig& rig) {
  auto config = rig.api("CONSUMER.INFO.KV_record.view-likes").at("config").as_object();
  config["filter_subject"] = "$KV.record." + kv::record_key::of(accounts[0], like, "1").partition + "." + like + ".*.*";
  rig.api("CONSUMER.DURABLE.CREATE.KV_record.view-likes",
          boost::json::serialize(boost::json::object{{"stream_name", "KV_record"}, {"config", config}}));
}

}  // namespace

TEST_CASE("X22: rows that a foreign edit of the view's durable kept out come back") {
  index_rig rig;
  for (int i = 0; i < 40; ++i) rig.put(i, i, i);
  rig.start();
  REQUIRE(rig.folded());
  const auto before = rig.builds().live->number;
  narrow(rig);
  for (int i = 0; i < 40; ++i) rig.put(i, 100 + i, i);
  SECTION("noticed while it runs") {}
  SECTION("killed before it was noticed, when the position had moved past them") {
    REQUIRE(rig.waits_for([&] { return rig.position().seq["0"] >= 77; }));
    REQUIRE(rig.stop().has_value());
    CHECK_FALSE(rig.rows() == rig.fold);
    rig.start();
  }
  SECTION("edited while nothing ran") {
    REQUIRE(rig.stop().has_value());
    narrow(rig);
    rig.start();
  }
  REQUIRE(rig.waits_for([&] { return rig.rows() == rig.fold && !rig.builds().next; }));
  rig.remove(1, 1);
  rig.put(2, 300, 1);
  REQUIRE(rig.waits_for([&] { return rig.rows() == rig.fold; }));
  CHECK(rig.logged("consumer view-likes on stream KV_record was edited by another program"));
  CHECK(rig.builds().live->number >= before);
  REQUIRE(rig.stop().has_value());
}
