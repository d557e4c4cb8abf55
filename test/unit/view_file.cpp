// View files: what is read out of them, the form in which they are kept, and their tests.
#include "view_plan_fixture.hpp"

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

TEST_CASE("the views that ship are whole, and their tests pass") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(RECORDKV_SOURCE_ROOT "/config/views")) {
    const auto file = entry.path().string();
    INFO(file);
    ++files;
    const auto plans = load_plans(file);
    if (!plans) FAIL(plans.error().text);
    REQUIRE(plans->size() == 1);
    CHECK(plans->front().name == entry.path().stem().string());
    CHECK_FALSE(plans->front().indexes.empty());
    std::size_t ran = 0;
    const auto failures = check_plans(file, &ran);
    REQUIRE(failures.has_value());
    CHECK(*failures == lines{});
    CHECK(ran >= 3);
  }
  CHECK(files == 7);
}

TEST_CASE("the likes view that ships") {
  const std::string file = RECORDKV_SOURCE_ROOT "/config/views/likes.toml";
  const auto plans = load_plans(file);
  REQUIRE(plans.has_value());
  const auto& p = plans->front();
  CHECK(p.name == "likes");
  CHECK(p.collections == lines{"app.bsky.feed.like"});
  CHECK(p.file == file);
  CHECK(p.line > 0);
  lines names;
  for (const auto& c : p.columns) names.push_back(c.name);
  CHECK(names == lines{"subject", "subject_did", "subject_collection", "subject_rkey", "subject_cid", "created_at"});
  CHECK(p.columns[0].pointer == "/subject/uri");
  CHECK(p.columns[0].required);
  CHECK(p.columns[0].at_uri);
  CHECK(p.columns[1].from == origin::uri_did);
  CHECK_FALSE(p.columns[1].at_uri);
  CHECK(p.columns[5].type == column_type::text);
  CHECK(p.indexes == std::vector<lines>{{"subject"}});
  CHECK(p.count_by == lines{"subject"});
  CHECK_FALSE(p.many());
  CHECK_FALSE(p.has_hooks());
}

TEST_CASE("the accounts view that ships: its key is the did alone") {
  const auto plans = load_plans(RECORDKV_SOURCE_ROOT "/config/views/accounts.toml");
  REQUIRE(plans.has_value());
  const auto& p = plans->front();
  CHECK(p.rows_of == source::accounts);
  CHECK(p.collections.empty());
  const auto key = p.key_columns();
  CHECK(lines(key.begin(), key.end()) == lines{"did"});
  lines names;
  for (const auto& c : p.columns) names.push_back(c.name);
  CHECK(names == lines{"handle", "status", "pds", "rev", "complete", "verified", "error"});
  CHECK(p.wants(""));
  CHECK_FALSE(p.wants("app.bsky.feed.like"));
  const auto again = plan_from_definition(p.definition);
  REQUIRE(again.has_value());
  CHECK(again->hash() == p.hash());
  CHECK(again->rows_of == source::accounts);
}

TEST_CASE("a view of accounts may have lists, hooks and columns that are named as a record's key") {
  const auto p = plan_from_definition(R"([[view]]
name = "kept"
source = "accounts"
each = "/collections"
where = [ { record = "/status", equals = "synchronised" } ]
columns = [ { name = "collection", pointer = "", required = true }, { name = "its_did", value = "did" },
            { name = "seen", type = "integer", default = 0 } ]
count = ["collection", "its_did"]
index = [["did", "collection"]]
on_put = "UPDATE {table} SET seen = 1 WHERE did = :did AND :record IS NOT NULL"
)");
  if (!p) FAIL(p.error().text);
  const auto got = extract(*p, {.did = "did:plc:me",
                                .collection = {},
                                .rkey = {},
                                .cid = {},
                                .rev = {},
                                .time = {},
                                .json = R"({"status":"synchronised","collections":["a.b.c","d.e.f"]})"});
  REQUIRE(got.rows.size() == 2);
  CHECK(got.rows[1] == cells{std::string("d.e.f"), std::string("did:plc:me"), std::int64_t{0}});
}

TEST_CASE("several views in a file, each with its line") {
  const temporary file(
      "[[view]]\nname = \"a\"\ncollection = \"x.y.a\"\ncolumns = [ { name = \"n\", pointer = \"/n\", type = "
      "\"integer\" } "
      "]\n\n[[view]]\nname = \"b\"\ncollections = [\"x.y.b\", \"x.z.*\"]\n[[view.columns]]\nname = \"t\"\npointer = "
      "\"/t\"\n");
  const auto plans = load_plans(file.path());
  REQUIRE(plans.has_value());
  REQUIRE(plans->size() == 2);
  CHECK((*plans)[0].columns[0].type == column_type::integer);
  CHECK((*plans)[0].line == 1);
  CHECK((*plans)[1].columns[0].name == "t");
  CHECK((*plans)[1].collections == lines{"x.y.b", "x.z.*"});
  CHECK((*plans)[1].line == 6);
}

TEST_CASE("every key of a view finds its place") {
  const auto p = planned(R"(each = "/facets"
where = [ { pointer = "/a", prefix = "p" }, { record = "/b", exists = false }, { pointer = "", equals = "x\"y" } ]
count = ["x", "n"]
index = [["x", "did"], ["idx"]]
on_put = '''
-- the author's "comment", with a :colon and {braces}
INSERT INTO {table}(did, rkey) VALUES (:did, ':rkey {}') /* 'and' another */ ; DELETE FROM {table} WHERE n > 5'''
on_delete = "UPDATE {table} SET n = n - 1 WHERE did = :did AND rkey = :rkey"
columns = [
  { name = "x", pointer = "/x", index = true },
  { name = "n", type = "integer", default = 5 },
  { name = "t", record = "/t", type = "real", required = true },
  { name = "w", value = "time", type = "timestamp" } ])");
  CHECK(p.many());
  CHECK(p.has_hooks());
  CHECK(p.each == "/facets");
  REQUIRE(p.where.size() == 3);
  CHECK(p.where[0].what == term::kind::prefix);
  CHECK(p.where[0].operand == "p");
  CHECK(p.where[1].what == term::kind::absent);
  CHECK(p.where[1].of_record);
  CHECK(p.where[2].operand == R"("x\"y")");
  CHECK(p.count_by == lines{"x", "n"});
  CHECK(p.indexes == std::vector<lines>{{"x"}, {"x", "did"}, {"idx"}});
  CHECK(p.columns[1].fallback == cell(std::int64_t{5}));
  CHECK(p.columns[2].from == origin::record);
  CHECK(p.columns[3].from == origin::time);
  CHECK(p.on_put.find("comment") == std::string::npos);  // a comment might hold what looks like a parameter
  CHECK(p.on_put.find("another") == std::string::npos);
  CHECK(p.on_put.find("VALUES (:did, ':rkey {}')") != std::string::npos);
}

TEST_CASE("a definition comes back from the database as the same plan") {
  for (const auto& entry : std::filesystem::directory_iterator(RECORDKV_SOURCE_ROOT "/config/views")) {
    INFO(entry.path());
    const auto plans = load_plans(entry.path().string());
    REQUIRE(plans.has_value());
    const auto& p = plans->front();
    CHECK(p.definition.find("test") == std::string::npos);
    const auto back = plan_from_definition(p.definition);
    if (!back) FAIL(back.error().text);
    CHECK(back->hash() == p.hash());
    CHECK(back->definition == p.definition);
    CHECK(back->columns.size() == p.columns.size());
  }
  CHECK(plan_from_definition("[[view]]\n").error().code == errc::bad_config);
  CHECK(plan_from_definition("\xff").error().code == errc::bad_config);
}

TEST_CASE("a definition has one form, however it was laid out") {
  const auto a = planned(R"(columns = [ { name = "x", pointer = "/x", default = 16, type = "integer" } ]
where = [ { pointer = "/y", equals = 'a"b' } ]
on_put = """
UPDATE {table}
  SET x = 1 -- one"""
[[view.test]]
record = "{}"
row = { x = 16 })");
  const auto b = planned(
      "on_put = \"UPDATE {table}\\n  SET x = 1 -- eins\"\n# a remark\n[[view.where]]\nequals = "
      "\"a\\\"b\"\npointer='/y'\n[[view.columns]]\ntype = \"integer\"\ndefault = 0x10\nname = "
      "\"x\"\npointer = \"/x\"\n");
  CHECK(a.definition == b.definition);
  CHECK(a.hash() == b.hash());
  CHECK(a.definition.starts_with("[[view]]\n"));
  const auto c = planned(R"(columns = [ { name = "x", pointer = "/x", default = 17, type = "integer" } ])");
  CHECK(c.definition != a.definition);
}

TEST_CASE("the views that docs/views.md shows are whole") {
  std::ifstream in(RECORDKV_SOURCE_ROOT "/docs/views.md");
  const std::string page(std::istreambuf_iterator<char>(in), {});
  lines names;
  for (auto at = page.find("```toml"); at != page.npos; at = page.find("```toml", at)) {
    at = page.find('\n', at) + 1;
    const auto end = page.find("```", at);
    const auto block = page.substr(at, end - at);
    at = end + 3;
    if (!block.starts_with("[[view]]")) continue;  // a piece of one
    INFO(block);
    const temporary file(block);
    const auto plans = load_plans(file.path());
    if (!plans) FAIL(plans.error().text);
    names.push_back(plans->at(0).name);
    CHECK(check_plans(file.path()).value() == lines{});
  }
  CHECK(names == lines{"my_reposts", "mentions", "stale", "busy"});
}

TEST_CASE("a file that cannot be read") {
  CHECK(complaint("[[view]\n").starts_with("FILE:1: "));
  CHECK(complaint("[[view]]\nname = \"v\"\nname = \"w\"\n").starts_with("FILE:3: "));
  CHECK(load_plans("/nowhere/v.toml").error().text ==
        "cannot read view file /nowhere/v.toml: No such file or directory");
  CHECK(load_plans("/tmp").error().text == "cannot read view file /tmp: Is a directory");
}

TEST_CASE("tests inside a view file tell what differs") {
  const std::string head =
      "[[view]]\nname = \"v\"\ncollections = [\"a.b.c\", \"d.*\"]\ncolumns = [\n  { name = \"t\", pointer = \"/t\" },\n"
      "  { name = \"n\", pointer = \"/n\", type = \"integer\", required = true },\n"
      "  { name = \"r\", pointer = \"/r\", type = \"real\" },\n  { name = \"b\", pointer = \"/b\", type = \"boolean\" "
      "},\n"
      "  { name = \"j\", pointer = \"/j\", type = \"json\" },\n]\n";
  const auto failures_of = [&](std::string_view text, std::size_t expected) {
    const temporary file(text);
    std::size_t ran = 0;
    auto out = check_plans(file.path(), &ran);
    if (!out) FAIL(out.error().text);
    CHECK(ran == expected);
    for (auto& line : *out) line = file.neutral(line);
    return *out;
  };
  const auto failures = [&](std::string_view tests, std::size_t n = 1) {
    return failures_of(head + std::string(tests), n);
  };
  CHECK(failures("", 0).empty());
  CHECK(failures("[[view.test]]\nrecord = '{\"t\":\"a\",\"n\":1,\"r\":2,\"b\":true,\"j\":[1, 2]}'\n"
                 "row = { t = \"a\", n = 1, r = 2, b = true, j = '[ 1,2 ]' }\n")
            .empty());
  CHECK(failures("[[view.test]]\nrecord = '{\"n\":1,\"t\":\"a\"}'\nrow = { n = 2 }\n") ==
        lines{"FILE:11: view v: column t: expected NULL, got \"a\"", "FILE:11: view v: column n: expected 2, got 1"});
  CHECK(failures("[[view.test]]\nrecord = '{}'\nrow = { n = 2 }\n") ==
        lines{"FILE:11: view v: the record is rejected: column n, /n in the record, is missing"});
  CHECK(failures("[[view.test]]\nrecord = '{\"n\":1}'\nrejected = true\n") ==
        lines{"FILE:11: view v: the record gives 1 row, but should be rejected"});
  CHECK(failures("[[view.test]]\nrecord = '{}'\nrejected = true\n[[view.test]]\nrecord = '{'\nrejected = true\n", 2)
            .empty());
  CHECK(failures("[[view.test]]\nrecord = '{\"n\":1}'\nrows = []\n") ==
        lines{"FILE:11: view v: expected 0 rows, got 1"});

  const std::string each =
      "[[view]]\nname = \"v\"\ncollection = \"a.b.c\"\neach = \"/l\"\nwhere = [ { pointer = \"\", exists = true } ]\n"
      "columns = [ { name = \"u\", pointer = \"\", type = \"at-uri\" }, { name = \"who\", value = \"uri\" },\n"
      "{ name = \"at\", value = \"time\", type = \"timestamp\" } ]\n[[view.test]]\ndid = \"did:web:x.y\"\nrkey = "
      "\"self\"\ntime = \"2024-01-01T01:00:00+01:00\"\n";
  CHECK(failures_of(each + "record = '{\"l\":[\"at://did:plc:a\",null,1]}'\nrows = [ { u = \"at://did:plc:a\", who = "
                           "\"at://did:web:x.y/a.b.c/self\", at = \"2024-01-01T00:00:00Z\" }, { who = "
                           "\"at://did:web:x.y/a.b.c/self\", at = \"2024-01-01T00:00:00Z\" } ]\n",
                    1)
            .empty());
  CHECK(failures_of(each + "record = '{\"l\":[\"at://did:plc:a\"]}'\nrows = [ { u = \"at://did:plc:a\", u_did = "
                           "\"did:plc:b\", who = \"at://did:web:x.y/a.b.c/self\", at = \"2024-01-01T00:00:00Z\" } ]\n",
                    1) == lines{"FILE:8: view v: row 0: column u_did: expected \"did:plc:b\", got \"did:plc:a\""});
  CHECK(failures_of(each + "record = '{}'\nrows = [ {}, {} ]\n", 1) == lines{"FILE:8: view v: expected 2 rows, got 0"});
}
