// The rules of include/recordkv/view/store.hpp, on a real PostgreSQL, and that it answers as SQLite does.
#include "view_postgres_rig.hpp"

#include <random>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

TEST_CASE("postgres: a build is begun, filled, takes the name, and gives it to the next") {
  recordkv::test::postgres_process server;
  const plan p = plan_of(server.directory(), likes_text);
  opened o(server.url());
  CHECK_FALSE(o.must(o.views->look("likes")).live);
  const auto b = o.must(o.views->begin(p, at(1), 0, 0));
  const auto seen = o.must(o.views->look("likes"));
  REQUIRE(seen.live);
  CHECK(seen.live->at == position{});
  REQUIRE(seen.next);
  CHECK(seen.next->number == b.number);
  CHECK(seen.next->at == at(1));
  CHECK(seen.next->definition == p.definition);
  CHECK(table(server.url(), "likes").empty());

  const auto did =
      o.apply(p, b.number, {like(p, "did:b", "2", "at://y"), like(p, "did:a", "1", "at://x")}, at(1), at(5));
  CHECK(did.rows == 2);
  CHECK_FALSE(did.live);
  CHECK(table(server.url(), "likes").empty());  // not the next one's rows
  CHECK_FALSE(o.must(o.views->ready(p, b.number, {"0"}, {"0", "1"})));
  CHECK(o.must(o.views->ready(p, b.number, {"1"}, {"0", "1"})));
  CHECK(o.run(o.views->ready(p, b.number, {"1"}, {"0", "1"})).error().code == errc::conflict);
  CHECK(table(server.url(), "likes") == lines{"did:a|app.bsky.feed.like|1|at://x|7|NULL|NULL|NULL|NULL",
                                              "did:b|app.bsky.feed.like|2|at://y|7|NULL|NULL|NULL|NULL"});
  CHECK(table(server.url(), "likes_by_subject") == lines{"at://x|1", "at://y|1"});
  CHECK(o.must(o.views->look("likes")).live->at == at(5));
  CHECK(o.must(o.views->views()) == lines{"likes"});

  // The live one is written to under its new name, and its counters go on.
  const auto more =
      o.apply(p, b.number, {like(p, "did:a", "1", "at://y"), del("did:b", "2"), del("did:c", "9")}, at(5), at(6));
  CHECK(more.rows == 1);
  CHECK(more.erased == 1);
  CHECK(more.live);
  CHECK(table(server.url(), "likes_by_subject") == lines{"at://y|1"});

  CHECK(o.run(o.views->begin(p, at(1), 0, 99)).error().code == errc::conflict);
  CHECK(o.run(o.views->want_rebuild("nothing")).error().code == errc::not_found);
  o.must(o.views->want_rebuild("likes"));
  CHECK(o.must(o.views->look("likes")).rebuild_wanted);
  const auto again = o.must(o.views->begin(p, at(1), 0, 0));
  CHECK(again.number > b.number);
  CHECK_FALSE(o.must(o.views->look("likes")).rebuild_wanted);
  o.must(o.views->abandon("likes", again.number));
  CHECK_FALSE(o.must(o.views->look("likes")).next);
  o.must(o.views->drop("likes"));
  CHECK(o.must(o.views->views()).empty());
  CHECK(server.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'likes%' OR relname LIKE 'recordkv_%_counter%'") ==
        "0");
  CHECK(server.sql("SELECT count(*) FROM pg_proc WHERE proname LIKE 'recordkv%'") == "0");
}

TEST_CASE("postgres: what is not at `previous` is not written") {
  recordkv::test::postgres_process server;
  const plan p = plan_of(server.directory(), likes_text);
  opened o(server.url()), other(server.url());
  const auto b = o.live(p, at(1));
  o.apply(p, b.number, {like(p, "did:a", "1", "x")}, at(1), at(2));
  const auto before = table(server.url(), "likes");
  CHECK(other.run(other.views->apply(p, b.number, {like(p, "did:b", "1", "x")}, at(1), at(3))).error().code ==
        errc::conflict);
  CHECK(o.run(o.views->apply(p, b.number, {like(p, "did:b", "1", "x")}, at(1), at(2))).error().code == errc::conflict);
  position elsewhere = at(2);
  elsewhere.generation = 2;
  CHECK(o.run(o.views->apply(p, b.number, {}, elsewhere, at(3))).error().code == errc::conflict);
  CHECK(o.run(o.views->apply(p, b.number + 7, {}, at(2), at(3))).error().code == errc::conflict);
  CHECK(table(server.url(), "likes") == before);
  // Partitions move beside each other.
  position own = at(2);
  own.seq = {{"1", 9}};
  position nowhere = own;
  nowhere.seq.clear();
  other.apply(p, b.number, {like(p, "did:b", "1", "x")}, nowhere, own);
  o.apply(p, b.number, {}, at(2), at(4));
  CHECK(o.must(o.views->look("likes")).live->at.seq == std::map<std::string, std::uint64_t>{{"0", 4}, {"1", 9}});
}

TEST_CASE("postgres: what is refused of one record makes that one a reject, and the others pass") {
  recordkv::test::postgres_process server;
  opened o(server.url());
  server.sql("CREATE TABLE seen (uri text CHECK (uri NOT LIKE '%/bad%'), rkey text)");
  const plan p = plan_of(server.directory(), std::string(likes_text) +
                                                 "on_put = \"INSERT INTO seen VALUES (:uri, :rkey)\"\n"
                                                 "on_delete = \"DELETE FROM seen WHERE uri = :uri\"\n");
  const auto b = o.live(p, at(1));
  std::vector<change> all;
  for (int i = 0; i < 40; ++i)
    all.push_back(like(p, "did:a", fmt::format("{}{}", i % 13 == 0 ? "bad" : "good", i), "x", 7));
  all.push_back(put(p, "did:a", "unfit", R"({"n":1})", 8));
  const auto did = o.apply(p, b.number, all, at(1), at(2));
  CHECK(did.rows == 36);
  CHECK(did.rejected == 5);
  CHECK(server.sql("SELECT count(*) FROM seen") == "36");
  CHECK(table(server.url(), "likes_by_subject") == lines{"x|36"});
  const auto rejects = o.must(o.views->rejects("likes", 100));
  REQUIRE(rejects.size() == 5);
  CHECK(rejects[0].uri == "at://did:a/app.bsky.feed.like/bad0");
  CHECK(rejects[0].reason.starts_with("on_put: new row for relation \"seen\" violates check constraint"));
  CHECK(rejects[0].seq == 7);
  CHECK(rejects[4].seq == 8);
  CHECK(table(server.url(), "likes_rejects").size() == 5);

  server.sql("ALTER TABLE seen DROP CONSTRAINT seen_uri_check");
  auto old = like(p, "did:a", "bad0", "x", 6);  // not the sequence that was rejected
  CHECK(o.must(o.views->retry(p, {old, like(p, "did:a", "bad13", "x", 7), like(p, "did:a", "good1", "x", 7)})) == 1);
  CHECK(o.must(o.views->rejects("likes", 100)).size() == 4);
  CHECK(table(server.url(), "likes_by_subject") == lines{"x|37"});
  o.apply(p, b.number, {del("did:a", "bad0"), del("did:a", "good1"), put(p, "did:a", "good2", "{}", 9)}, at(2), at(3));
  CHECK(o.must(o.views->rejects("likes", 1)).size() == 1);
  CHECK(o.must(o.views->rejects("likes", 100)).size() == 4);
  CHECK(server.sql("SELECT count(*) FROM seen WHERE uri LIKE '%/good1' OR uri LIKE '%/good2'") == "0");
}

TEST_CASE("postgres: a value that it can't keep or index is a reject, in bulk as well") {
  recordkv::test::postgres_process server;
  const plan p = plan_of(server.directory(), likes_text);
  opened o(server.url());
  for (const std::uint64_t bulk_until : {0, 100}) {
    const auto seen = o.must(o.views->look("likes"));
    const auto b = o.must(o.views->begin(p, at(1), bulk_until, 0));
    auto wide = like(p, "did:a", std::string(3'000, 'k'), "x", 3);
    auto broken = like(p, "did:a", "broken", "x", 4);
    broken.rows[0][0] = std::string("\xff\xfe");
    const auto did =
        o.apply(p, b.number, {like(p, "did:a", "1", "x"), wide, broken, like(p, "did:a", "2", "x")}, at(1), at(2));
    CHECK(did.rows == 2);
    CHECK(did.rejected == 2);
    o.must(o.views->end_bulk(p, b.number));
    o.must(o.views->end_bulk(p, b.number));
    CHECK(o.must(o.views->ready(p, b.number, {"0"}, {"0"})));
    const auto rejects = o.must(o.views->rejects("likes", 10));
    REQUIRE(rejects.size() == 2);
    CHECK(rejects[0].reason == "its key is too long for PostgreSQL to index");
    CHECK(rejects[1].reason.contains("UTF8"));
    CHECK(table(server.url(), "likes_by_subject") == lines{"x|2"});
  }
}

TEST_CASE("postgres: a batch larger than any buffer on the way, in bulk and live") {
  recordkv::test::postgres_process server;
  const plan p = plan_of(server.directory(), likes_text);
  opened o(server.url());
  const auto b = o.must(o.views->begin(p, at(1), 100, 0));
  std::vector<change> all;
  for (int i = 0; i < 20'000; ++i) all.push_back(like(p, "did:a", fmt::to_string(i), std::string(300, 'x')));
  CHECK(o.apply(p, b.number, all, at(1), at(2)).rows == 20'000);
  o.must(o.views->end_bulk(p, b.number));
  CHECK(o.apply(p, b.number, all, at(2), at(3)).rows == 20'000);
  CHECK(o.must(o.views->ready(p, b.number, {"0"}, {"0"})));
  CHECK(table(server.url(), "likes_by_subject") == lines{std::string(300, 'x') + "|20000"});
}

TEST_CASE("postgres: strangers' tables and hooks that can't run are told") {
  recordkv::test::postgres_process server;
  opened o(server.url());
  server.sql("CREATE TABLE likes (x int)");
  const plan p = plan_of(server.directory(), likes_text);
  CHECK(o.run(o.views->begin(p, at(1), 0, 0)).error().code == errc::mismatch);
  CHECK(o.must(o.views->views()).empty());
  const plan hooked =
      plan_of(server.directory(), std::string(tags_text) + "on_put = \"INSERT INTO nowhere VALUES (:uri)\"\n");
  const auto refused = o.run(o.views->begin(hooked, at(1), 0, 0)).error();
  CHECK(refused.code == errc::bad_config);
  CHECK(refused.text.contains("relation \"nowhere\" does not exist"));
  CHECK(o.must(o.views->views()).empty());
  CHECK(query(server.url(), "tags", {}, 1).error().code == errc::not_found);
}

namespace {

/// Anything that an author might write, and a little more.
std::string some_record(std::mt19937& random) {
  const auto pick = [&](std::initializer_list<const char*> of) { return *(of.begin() + random() % of.size()); };
  return fmt::format(R"({{"subject":{},"n":{},"r":{},"yes":{},"createdAt":{},"j":{},"tags":{}}})",
                     pick({R"("at://a")", R"("at://b")", R"("\\.\t\n\r\"{},'")", R"("")", "null", R"("ü☃𝄞\\N")"}),
                     pick({"1", "-9223372036854775808", "9223372036854775807", "0", "\"no\"", "null"}),
                     pick({"0.1", "1e300", "-0.0", "5e-324", "3", "123456789.123456789", "true"}),
                     pick({"true", "false", "1"}),
                     pick({R"("2024-11-05T12:00:00Z")", R"("2024-02-29T23:59:60.1234567+05:30")",
                           R"("0001-01-02T00:00:00.5Z")", R"("9999-12-31T23:59:59.999999Z")", R"("yesterday")", "7"}),
                     pick({R"({"b":[1,2.50,"x\u0001\\n"],"a":null})", "[]", R"("text\tand more")", "null", "12"}),
                     pick({R"(["x","y","x"])", "[]", R"(["z"])", R"([1,"x"])", "null", R"(["a","b","c","d","e"])"}));
}

}  // namespace

TEST_CASE("postgres: random histories give the answers that SQLite gives, and counters never drift") {
  recordkv::test::postgres_process server;
  const auto file = "sqlite:" + (server.directory() / "views.db").string();
  opened lite(file), real(server.url());
  for (const auto* const text : {likes_text, tags_text, accounts_text, account_tags_text}) {
    const plan p = plan_of(server.directory(), text);
    for (unsigned seed = 1; seed <= 6; ++seed) {
      std::mt19937 random(seed);
      INFO(p.name << " seed " << seed);
      const std::uint64_t bulk = seed % 2 == 0 ? 3 : 0;
      const auto a = lite.must(lite.views->begin(p, at(1), bulk, 0)),
                 b = real.must(real.views->begin(p, at(1), bulk, 0));
      bool in_bulk = bulk != 0;
      for (std::uint64_t step = 1; step < 40; ++step) {
        std::vector<change> changes;
        const auto n = random() % 30;
        for (std::size_t i = 0; i < n; ++i) {
          auto rkey = in_bulk ? fmt::format("{}-{}", step, i) : fmt::to_string(random() % 25);
          changes.push_back(random() % 4 == 0 && !in_bulk ? del("did:a", rkey)
                                                          : put(p, "did:a", rkey, some_record(random), step));
          if (p.rows_of == source::accounts) changes.back() = of_account(std::move(changes.back()));
        }
        const auto one = lite.apply(p, a.number, changes, at(step), at(step + 1));
        const auto two = real.apply(p, b.number, changes, at(step), at(step + 1));
        CHECK(one.rows == two.rows);
        CHECK(one.rejected == two.rejected);
        if (!in_bulk) CHECK(one.erased == two.erased);
        if (step == 3 && in_bulk) {
          lite.must(lite.views->end_bulk(p, a.number));
          real.must(real.views->end_bulk(p, b.number));
          in_bulk = false;
        }
        if (step != 20) continue;
        CHECK(lite.must(lite.views->ready(p, a.number, {"0"}, {"0"})));
        CHECK(real.must(real.views->ready(p, b.number, {"0"}, {"0"})));
      }
      lines tables{p.name, p.name + "_rejects"};
      for (const auto& c : p.count_by) tables.push_back(p.name + "_by_" + c);
      for (const auto& t : tables) CHECK(table(file, t) == table(server.url(), t));
      CHECK(!table(server.url(), p.name).empty());
      for (const auto& c : p.count_by)
        CHECK(server.sql(fmt::format(
                  "SELECT count(*) FROM (SELECT {0}, count(*) AS count FROM {1} WHERE {0} IS NOT NULL GROUP BY "
                  "{0}) AS a FULL JOIN {1}_by_{0} AS b USING ({0}, count) WHERE a.{0} IS NULL OR b.{0} IS NULL",
                  c, p.name)) == "0");
    }
  }
  for (const auto& [column, value] :
       std::vector<std::pair<std::string, std::string>>{{"subject", "at://a"},
                                                        {"n", "1"},
                                                        {"r", "0.1"},
                                                        {"yes", "true"},
                                                        {"yes", "false"},
                                                        {"j", "[]"},
                                                        {"created_at", "2024-11-05T13:00:00+01:00"},
                                                        {"rkey", "3"},
                                                        {"n", "x"},
                                                        {"yes", "1"},
                                                        {"nothing", "1"}}) {
    INFO(column << " = " << value);
    const auto words = [&](const std::string& database) {
      auto rows = table(database, "likes", {{column, value}});
      return rows;
    };
    CHECK(words(file) == words(server.url()));
  }
}
