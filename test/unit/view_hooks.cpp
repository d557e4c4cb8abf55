// The marks that hooks may hold: a shadow build stays apart only if nothing else names a table of the view.
#include "view_plan_fixture.hpp"

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

/// What is said of this SQL as on_put of a view "likes"; without the file, the line and the key.
std::string said(std::string_view sql) {
  const auto text =
      complaint(fmt::format("[[view]]\nname = \"likes\"\ncollection = \"a.b.c\"\ncolumns = [ {{ name = "
                            "\"x\", pointer = \"/x\" }} ]\non_put = '''{}'''\n",
                            sql));
  const std::string_view place = "FILE:5: view.on_put: ";
  CHECK((text.empty() || text.starts_with(place)));
  return text.empty() ? "" : text.substr(place.size());
}

}  // namespace

TEST_CASE("SQL that a hook may hold") {
  for (const std::string_view sql :
       {"DELETE FROM {table}", "DELETE FROM {table};", "  update {table} set x = :rev where did=:did and rkey =:rkey ",
        "INSERT INTO {table} (x) VALUES (:record), (:uri), (:cid), (:time), (:collection)",
        "WITH a AS (SELECT 1) INSERT INTO {table} SELECT * FROM a; UPDATE {table} SET x = x || 'it''s :nothing {here}'",
        "UPDATE {table} SET \"x y\" = 'likes'", "UPDATE {table} SET x = 'a -- b' -- likes :x",
        "UPDATE {table}/* likes {x} ' */SET x = 1", "SELECT liked, likes2, mylikes FROM other",
        "INSERT INTO totals VALUES ((SELECT count(*) FROM {table}))", "SELECT 'ä', ünder FROM {table}"}) {
    INFO(sql);
    CHECK(said(sql) == "");
  }
}

TEST_CASE("SQL that it may not hold") {
  const std::vector<std::pair<std::string_view, std::string_view>> table{
      {"", "is empty; leave it out, or write a statement"},
      {" -- nothing", "is empty; leave it out, or write a statement"},
      {"DELETE FROM likes", "names the table \"likes\", which would be the wrong one during a rebuild; write {table}"},
      {"DELETE FROM \"likes\"",
       "names the table \"likes\", which would be the wrong one during a rebuild; write {table}"},
      {"DELETE FROM LIKES", "names the table \"likes\", which would be the wrong one during a rebuild; write {table}"},
      {"DELETE FROM likes_by_x",
       "names the table \"likes_by_x\", which would be the wrong one during a rebuild; write {table}"},
      {"DELETE FROM likes__next",
       "names the table \"likes__next\", which would be the wrong one during a rebuild; write {table}"},
      {"DELETE FROM {view}", "{view} is no placeholder; the only one is {table}"},
      {"DELETE FROM {table", "{table is no placeholder; the only one is {table}"},
      {"DELETE FROM {table}_by_x", "{table} stands for the view's table alone; nothing can be written on to its name"},
      {"DELETE FROM '{table}'", "{table} stands in quotes, where nothing takes its place; write it bare"},
      {"DELETE FROM {table} WHERE x = :author",
       "\":author\" is no parameter; there are :did, :collection, :rkey, :uri, :cid, :rev, :time, :record"},
      {"DELETE FROM {table} WHERE x = :did2",
       "\":did2\" is no parameter; there are :did, :collection, :rkey, :uri, :cid, :rev, :time, :record"},
      {"SELECT : did", "\":\" is no parameter; there are :did, :collection, :rkey, :uri, :cid, :rev, :time, :record"},
      {"SELECT :record::jsonb", "\"::\" is PostgreSQL's alone; write CAST(value AS type)"},
      {"SELECT ?1", "\"?\" is read differently by SQLite and PostgreSQL; write SQL without it"},
      {"SELECT $$x$$", "\"$\" is read differently by SQLite and PostgreSQL; write SQL without it"},
      {"SELECT @did", "\"@\" is read differently by SQLite and PostgreSQL; write SQL without it"},
      {"SELECT E'a'", "e'…' is read differently by SQLite and PostgreSQL; write plain quotes"},
      {"SELECT 'a", "a quotation does not end; write '"},
      {"SELECT 'a''", "a quotation does not end; write '"},
      {"SELECT 1 /* a", "a comment does not end; write */"},
      {"COMMIT", "a statement begins with \"commit\"; a hook may INSERT, UPDATE and DELETE"},
      {"DELETE FROM {table}; /* x */ begin", "a statement begins with \"begin\"; a hook may INSERT, UPDATE and DELETE"},
      {"CREATE TABLE x (y)", "a statement begins with \"create\"; a hook may INSERT, UPDATE and DELETE"},
      {"'x'", "begins with a quotation; write INSERT, UPDATE, DELETE or WITH"},
  };
  for (const auto& [sql, expected] : table) {
    INFO(sql);
    CHECK(said(sql) == expected);
  }
  CHECK(said(std::string(70'000, ' ')) == "is longer than 64 KiB; a stage of your own may do more");
}
