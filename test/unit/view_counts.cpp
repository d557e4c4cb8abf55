// Counters in SQLite: recordkv adds up its own rows, triggers count every other writer's, and both agree.
#include "view_fixture.hpp"

#include <random>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

/// One row a record: subject and n, both counted.
plan twice_counted() {
  return planned(R"(name = "likes"
collection = "app.bsky.feed.like"
columns = [ { name = "subject", pointer = "/subject" }, { name = "n", pointer = "/n", type = "integer" } ]
count = ["subject", "n"])");
}

change row(std::string rkey, cell subject, cell n) {
  auto c = put("a", std::move(rkey), "");
  c.rows = {{std::move(subject), std::move(n)}};
  return c;
}

const cell null;
cell text(std::string s) { return cell(std::move(s)); }
cell number(std::int64_t n) { return cell(n); }

/// A live view in a database of its own.
struct kept_view {
  explicit kept_view(plan planned_view) : p(std::move(planned_view)), number(must_live(*s, p)) {}

  auto try_apply(const std::vector<change>& changes) { return run(s->apply(p, number, changes, here, at(turn + 1))); }
  void apply(const std::vector<change>& changes) {
    must(try_apply(changes));
    here = at(++turn);
  }

  const directory d;
  std::unique_ptr<store> s = must_open(d);
  const plan p;
  const std::uint64_t number;
  position here;
  std::uint64_t turn = 0;
};

}  // namespace

TEST_CASE("a count moves by what a transaction adds up to, and goes when it is 0") {
  kept_view view(twice_counted());
  view.apply({row("1", text("x"), number(1)), row("2", text("x"), number(2)), row("3", null, number(2))});
  CHECK(rows(view.d, "likes_by_subject") == lines{"x 2"});
  CHECK(rows(view.d, "likes_by_n") == lines{"2 2", "1 1"});
  // One moves from x to y, one keeps its subject, one gets one; 1 is no more.
  view.apply({row("1", text("y"), number(2)), row("2", text("x"), null), row("3", text("y"), number(2))});
  CHECK(rows(view.d, "likes_by_subject") == lines{"y 2", "x 1"});
  CHECK(rows(view.d, "likes_by_n") == lines{"2 2"});
  view.apply({del("a", "1"), del("a", "2"), del("a", "9"), row("4", text("x"), null)});
  CHECK(rows(view.d, "likes_by_subject") == lines{"x 1", "y 1"});
  CHECK(rows(view.d, "likes_by_n") == lines{"2 1"});
}

TEST_CASE("another program's rows are counted, too, between those of recordkv") {
  kept_view view(likes());
  view.apply({put("a", "1", "x")});
  const other shell(view.d);
  shell.run("INSERT INTO likes (did, collection, rkey, subject) VALUES ('b', 'app.bsky.feed.like', '1', 'x')");
  view.apply({put("a", "2", "x"), put("a", "1", "y")});
  shell.run("UPDATE likes SET subject = 'z' WHERE rkey = '2'");
  shell.run("DELETE FROM likes WHERE did = 'b'");
  CHECK(rows(view.d, "likes_by_subject") == lines{"y 1", "z 1"});
  view.apply({del("a", "1"), del("a", "2")});
  CHECK(rows(view.d, "likes_by_subject").empty());
}

TEST_CASE("another program's trigger sees each row, from the moment when it is made") {
  kept_view view(likes());
  view.apply({put("a", "1", "x")});
  const other shell(view.d);
  shell.run(
      "CREATE TABLE seen (rkey text); CREATE TRIGGER mine AFTER INSERT ON likes BEGIN "
      "INSERT INTO seen VALUES (new.rkey); END");
  view.apply({put("a", "2", "x"), put("a", "3", "y"), del("a", "1")});
  CHECK(shell.ask("SELECT rkey FROM seen ORDER BY rkey") == lines{"2", "3"});
  CHECK(rows(view.d, "likes_by_subject") == lines{"x 1", "y 1"});
  shell.run("DROP TRIGGER mine");
  view.apply({put("a", "4", "y")});
  CHECK(shell.ask("SELECT count(*) FROM seen") == lines{"2"});
  CHECK(rows(view.d, "likes_by_subject") == lines{"y 2", "x 1"});
}

TEST_CASE("another program's trigger sees also what recordkv does beside rows, and the rows of a bulk") {
  kept_view view(likes());
  view.apply({put("a", "1", "x")});
  const other shell(view.d);
  shell.run(
      "CREATE TABLE seen (what text); CREATE TRIGGER mine AFTER UPDATE OF wanted ON recordkv_builds BEGIN "
      "INSERT INTO seen VALUES ('wanted'); END");
  must(run(view.s->want_rebuild("likes")));
  CHECK(shell.ask("SELECT what FROM seen") == lines{"wanted"});
  shell.run("DROP TRIGGER mine; DELETE FROM seen");
  const auto bulk = must(run(view.s->begin(view.p, at(0), 100, 0)));
  view.apply({put("a", "2", "x")});
  shell.run("CREATE TRIGGER mine AFTER INSERT ON likes__next BEGIN INSERT INTO seen VALUES (new.rkey); END");
  must(run(view.s->apply(view.p, bulk.number, {put("a", "1", "x")}, at(0), at(1))));
  CHECK(shell.ask("SELECT what FROM seen") == lines{"1"});
}

TEST_CASE("what is undone is not counted") {
  kept_view view(likes());
  view.apply({put("a", "1", "x")});
  // Another program forbids a value. The transaction that meets it fails as a whole.
  const other shell(view.d);
  shell.run("CREATE UNIQUE INDEX mine ON likes (subject)");
  CHECK_FALSE(view.try_apply({put("a", "2", "y"), put("a", "3", "x")}).has_value());
  CHECK(rows(view.d, "likes_by_subject") == lines{"x 1"});
  shell.run("DROP INDEX mine");
  view.apply({put("a", "3", "x")});
  CHECK(rows(view.d, "likes_by_subject") == lines{"x 2"});
}

TEST_CASE("a retried reject is counted") {
  kept_view view(likes());
  view.apply({put("a", "1", "x"), rejected("a", "2", "no", 7)});
  CHECK(must(run(view.s->retry(view.p, {put("a", "2", "x", 7), put("a", "1", "y", 7)}))) == 1);
  CHECK(rows(view.d, "likes_by_subject") == lines{"x 2"});
}

TEST_CASE("after any changes, counters hold what the rows hold") {
  for (const bool many : {false, true}) {
    kept_view view(many ? tags() : twice_counted());
    std::mt19937 random(many ? 1 : 2);
    const auto some = [&](unsigned below) { return static_cast<int>(random() % below); };
    const auto value = [&] { return some(4) == 0 ? null : text(std::string(1, static_cast<char>('a' + some(3)))); };
    for (int turn = 0; turn < 60; ++turn) {
      std::vector<change> batch;
      for (int i = some(8); i >= 0; --i) {
        const auto rkey = fmt::to_string(some(12));
        if (some(4) == 0)
          batch.push_back(del("a", rkey));
        else
          batch.push_back(row(rkey, value(), some(3) == 0 ? null : number(some(3))));
        if (many && !batch.back().erase) {
          batch.back().rows.clear();
          for (int k = some(4); k > 0; --k) batch.back().rows.push_back({value()});
        }
      }
      view.apply(batch);
    }
    const other shell(view.d);
    for (const auto& column : many ? lines{"tag"} : lines{"subject", "n"})
      CHECK(
          shell.ask(fmt::format("SELECT {0} || ' ' || \"count\" FROM {1}_by_{0} ORDER BY 1", column, view.p.name)) ==
          shell.ask(fmt::format("SELECT {0} || ' ' || count(*) FROM {1} WHERE {0} IS NOT NULL GROUP BY {0} ORDER BY 1",
                                column, view.p.name)));
  }
}
