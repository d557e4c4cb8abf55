// From a record to a row: the types, the time, the pointers, and what the network may send instead of a record.
#include "view_plan_fixture.hpp"

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

/// The single cell of a one-column view over /x.
std::string cell_text(std::string_view type, std::string_view json, std::string_view more = "") {
  const auto p = planned(fmt::format(R"(columns = [ {{ name = "x", pointer = "/x", type = "{}"{} }} ])", type, more));
  return rows(p, fmt::format(R"({{"x":{}}})", json)).at(0);
}

}  // namespace

TEST_CASE("cells by type; anything of another type is NULL") {
  CHECK(cell_text("text", R"("ä\n\"b\\")") == "'ä\n\"b\\'");
  CHECK(cell_text("text", R"("")") == "''");
  CHECK(cell_text("text", R"("\ud83d\ude00")") == "'\U0001F600'");
  CHECK(cell_text("text", R"("a\u0000b")") == "NULL");
  CHECK(cell_text("text", "1") == "NULL");
  CHECK(cell_text("text", "null") == "NULL");
  CHECK(cell_text("text", "{}") == "NULL");
  CHECK(cell_text("integer", "-7") == "-7");
  CHECK(cell_text("integer", "9223372036854775807") == "9223372036854775807");
  CHECK(cell_text("integer", "-9223372036854775808") == "-9223372036854775808");
  CHECK(cell_text("integer", "9223372036854775808") == "NULL");
  CHECK(cell_text("integer", "123456789012345678901234567890") == "NULL");
  CHECK(cell_text("integer", "1.0") == "NULL");
  CHECK(cell_text("integer", R"("1")") == "NULL");
  CHECK(cell_text("real", "0.5") == "real 0.5");
  CHECK(cell_text("real", "3") == cell_text("real", "3.0"));
  CHECK(cell_text("real", "18446744073709551615") == "real 1.8446744073709552e+19");
  CHECK(cell_text("real", "1e999") == "NULL");
  CHECK(cell_text("real", "true") == "NULL");
  CHECK(cell_text("boolean", "true") == "1");
  CHECK(cell_text("boolean", "false") == "0");
  CHECK(cell_text("boolean", "1") == "NULL");
  CHECK(cell_text("json", R"({ "a" : [1, null, "b"] })") == R"('{"a":[1,null,"b"]}')");
  CHECK(cell_text("json", "\"text\"") == "'\"text\"'");
  CHECK(cell_text("json", "null") == "NULL");
  CHECK(cell_text("json", R"({"a":"\u0000"})") == "NULL");
  CHECK(cell_text("json", R"({"\u0000":1})") == "NULL");
  CHECK(cell_text("json", R"("\\u0000")") == R"('"\\u0000"')");  // a backslash and five characters, no U+0000
  CHECK(cell_text("json", R"(["\\u0000","\\\u0000"])") == "NULL");
}

TEST_CASE("a default stands in for what is missing or of another type") {
  CHECK(cell_text("text", "1", R"(, default = "none")") == "'none'");
  CHECK(cell_text("text", "null", R"(, default = "none")") == "'none'");
  CHECK(cell_text("text", R"("")", R"(, default = "none")") == "''");
  CHECK(cell_text("integer", R"("1")", ", default = -1") == "-1");
  CHECK(cell_text("real", "null", ", default = 2") == "real 2");
  CHECK(cell_text("boolean", "null", ", default = true") == "1");
  CHECK(cell_text("timestamp", "null", R"(, default = "1970-01-01T00:00:00+01:00")") ==
        "'1969-12-31T23:00:00.000000Z'");
  CHECK(cell_text("json", "null", ", default = '[ 1 ]'") == "'[1]'");
}

TEST_CASE("timestamps become UTC with microseconds") {
  const auto time = [](std::string_view s) { return cell_text("timestamp", fmt::format("\"{}\"", s)); };
  CHECK(time("1985-04-12T23:20:50.123Z") == "'1985-04-12T23:20:50.123000Z'");
  CHECK(time("1985-04-12T23:20:50Z") == "'1985-04-12T23:20:50.000000Z'");
  CHECK(time("1985-04-12T23:20:50.9999999999Z") ==
        "'1985-04-12T23:20:50.999999Z'");  // cut, or it would be another second
  CHECK(time("2024-02-29T00:00:00.5+05:30") == "'2024-02-28T18:30:00.500000Z'");
  CHECK(time("2024-12-31T20:00:00-12:00") == "'2025-01-01T08:00:00.000000Z'");
  CHECK(time("2024-11-05T12:00:00-00:00") == "'2024-11-05T12:00:00.000000Z'");
  CHECK(time("2016-12-31T23:59:60Z") == "'2017-01-01T00:00:00.000000Z'");
  CHECK(time("2000-02-29T23:59:60.25-12:00") == "'2000-03-01T12:00:00.250000Z'");
  CHECK(time("0001-01-01T00:00:00Z") == "'0001-01-01T00:00:00.000000Z'");
  CHECK(time("9999-12-31T23:59:59Z") == "'9999-12-31T23:59:59.000000Z'");
  CHECK(time("0000-12-31T23:00:00-02:00") == "'0001-01-01T01:00:00.000000Z'");
  for (const std::string_view bad : {"",
                                     "1985-04-12",
                                     "1985-04-12T23:20:50",
                                     "1985-04-12 23:20:50Z",
                                     "1985-13-12T23:20:50Z",
                                     "1985-04-31T23:20:50Z",
                                     "2023-02-29T00:00:00Z",
                                     "1900-02-29T00:00:00Z",
                                     "1985-04-12T24:20:50Z",
                                     "1985-04-12T23:60:50Z",
                                     "1985-04-12T23:20:61Z",
                                     "1985-04-12T23:20:50.Z",
                                     "1985-04-12T23:20:50.1",
                                     "1985-04-12T23:20:50+24:00",
                                     "1985-04-12T23:20:50+00:60",
                                     "1985-04-12T23:20:50+0530",
                                     "1985-04-12T23:20:50ZZ",
                                     "-985-04-12T23:20:50Z",
                                     "1985-00-12T23:20:50Z",
                                     "1985-04-00T23:20:50Z",
                                     "1985-04-12t23:20:50z",
                                     "+198-04-12T23:20:50Z",
                                     "0000-01-01T00:00:00Z",
                                     "0001-01-01T00:00:00+00:01",
                                     "9999-12-31T23:59:60Z",
                                     "9999-12-31T23:59:59-00:01",
                                     "12024-01-01T00:00:00Z"}) {
    INFO(bad);
    CHECK(time(bad) == "NULL");
  }
}

TEST_CASE("an at-uri becomes four columns") {
  const auto parts = [](std::string_view json) { return cell_text("at-uri", json); };
  CHECK(parts(R"("at://did:plc:a/app.bsky.feed.post/1")") ==
        "'at://did:plc:a/app.bsky.feed.post/1' 'did:plc:a' 'app.bsky.feed.post' '1'");
  CHECK(parts(R"("at://did:plc:a/app.bsky.feed.post")") ==
        "'at://did:plc:a/app.bsky.feed.post' 'did:plc:a' 'app.bsky.feed.post' NULL");
  CHECK(parts(R"("at://did:plc:a")") == "'at://did:plc:a' 'did:plc:a' NULL NULL");
  CHECK(parts(R"("at://alice.test/app.bsky.feed.post/1")") ==
        "'at://alice.test/app.bsky.feed.post/1' NULL 'app.bsky.feed.post' '1'");
  for (const std::string_view bad : {R"("at://x")", R"("https://a.b/")", R"("at://did:plc:a/post/1")", "1", "null",
                                     R"("at://did:plc:a/app.bsky.feed.post/1#frag")"}) {
    INFO(bad);
    CHECK(parts(bad) == "NULL NULL NULL NULL");
  }
  CHECK(cell_text("at-uri", "1", R"(, default = "at://did:plc:d/a.b.c/2")") ==
        "'at://did:plc:d/a.b.c/2' 'did:plc:d' 'a.b.c' '2'");
  const auto two = planned(R"(columns = [ { name = "a", pointer = "/a", type = "at-uri" },
                                          { name = "b", pointer = "/b", type = "at-uri" } ])");
  CHECK(rows(two, R"({"a":"at://did:plc:a/a.b.c/1"})") ==
        lines{"'at://did:plc:a/a.b.c/1' 'did:plc:a' 'a.b.c' '1' NULL NULL NULL NULL"});
  CHECK(rows(two, R"({"b":"at://did:plc:b"})") == lines{"NULL NULL NULL NULL 'at://did:plc:b' 'did:plc:b' NULL NULL"});
}

TEST_CASE("computed columns tell what does not stand in the record") {
  const auto p = planned(R"(columns = [ { name = "a", value = "did" }, { name = "b", value = "collection" },
    { name = "c", value = "rkey" }, { name = "d", value = "uri" }, { name = "e", value = "cid" },
    { name = "f", value = "rev" }, { name = "g", value = "time" },
    { name = "h", value = "time", type = "timestamp" } ])");
  CHECK(rows(p, "{}") == lines{"'did:plc:me' 'a.b.c' 'r' 'at://did:plc:me/a.b.c/r' 'bafy' '3k5nobkf2w72g' "
                               "'2024-11-05T12:00:00.5Z' '2024-11-05T12:00:00.500000Z'"});
  const record bare{.did = "did:plc:me", .collection = "a.b.c", .rkey = "r", .json = "{}"};
  const auto none = extract(p, bare);
  REQUIRE(none.rows.size() == 1);
  for (std::size_t i = 4; i < 8; ++i) CHECK(none.rows[0][i] == cell());
  const auto wants_cid = planned(R"(columns = [ { name = "a", value = "cid", required = true } ])");
  CHECK(extract(wants_cid, bare).rejection_reason == "column a, is not known of this record");
}

TEST_CASE("a column of the hooks has its default when the row is made") {
  const auto p = planned(
      "columns = [ { name = \"n\", type = \"integer\", default = 3 } ]\n"
      "on_put = \"UPDATE {table} SET n = n + 1\"");
  CHECK(p.columns[0].from == origin::hooks);
  CHECK(rows(p, R"({"n":7})") == lines{"3"});
}

TEST_CASE("a record without a required column gives no row, and it is said why") {
  const auto required = [](std::string_view type, std::string_view json) {
    return cell_text(type, json, ", required = true");
  };
  CHECK(required("text", R"("")") == "''");  // empty is there
  CHECK(required("text", "null") == "rejected: column x, /x in the record, is missing");
  CHECK(required("integer", R"("1")") == "rejected: column x, /x in the record, is none of its type");
  CHECK(required("timestamp", R"("yesterday")") == "rejected: column x, /x in the record, is none of its type");
  CHECK(required("at-uri", R"("at://x")") == "rejected: column x, /x in the record, is none of its type");
  CHECK(required("text", R"("\u0000")") ==
        "rejected: column x, /x in the record, holds U+0000, which a database cannot keep");
  CHECK(required("json", R"("\u0000")") ==
        "rejected: column x, /x in the record, holds U+0000, which a database cannot keep");
  CHECK(required("json", "null") == "rejected: column x, /x in the record, is missing");
  const auto p = planned(R"(columns = [ { name = "x", pointer = "/x" } ])");
  CHECK(rows(p, "[]") == lines{"rejected: JSON, but no object"});
  for (const std::string_view bad :
       {"7", "null", "\"x\"", "", "{", R"({"x":"a"} x)", "{\"x\":\"\xff\"}", R"({"x":"\ud800"})", R"({"x":"\udc00"})",
        "{\"x\":\"\xed\xa0\x80\"}", R"({"x":01})", R"({"x":NaN})", R"({"x":'a'})", "{\"x\":\"a\nb\"}", R"({"x":1,})"}) {
    INFO(bad);
    CHECK(rows(p, bad).at(0).starts_with("rejected: "));
  }
}

TEST_CASE("pointers reach into lists, escaped names and the whole record") {
  const auto p = planned(R"(columns = [
    { name = "a", pointer = "/list/1/x" }, { name = "b", pointer = "/a~1b~0c" }, { name = "c", pointer = "/list/7/x" },
    { name = "d", pointer = "", type = "json" }, { name = "e", pointer = "/list/01/x" },
    { name = "f", pointer = "/~01" },
    { name = "g", pointer = "/list/-" }, { name = "h", pointer = "/" },
    { name = "i", pointer = "/list/18446744073709551617/x" },
    { name = "j", pointer = "/a~1b~0c/x" }, { name = "k", pointer = "/1" }, { name = "l", pointer = "/*" } ])");
  const std::string_view json =
      R"({"list":[{},{"x":"one"}],"a/b~c":"two","~1":"three","":"four","1":"five","*":"six"})";
  CHECK(rows(p, json) ==
        lines{fmt::format("'one' 'two' NULL '{}' NULL 'three' NULL 'four' NULL NULL 'five' 'six'", json)});
  const auto twice = planned(R"(columns = [ { name = "x", pointer = "/x" } ])");
  CHECK(rows(twice, R"({"x":"first","x":"last"})") == lines{"'last'"});
}

TEST_CASE("records may nest deep and be large, within reason") {
  const auto p = planned(R"(columns = [ { name = "x", pointer = "/x" } ])");
  const auto nested = [](std::size_t n) {
    return fmt::format(R"({{"d":{}{},"x":"here"}})", std::string(n, '['), std::string(n, ']'));
  };
  CHECK(rows(p, nested(100)) == lines{"'here'"});
  CHECK(rows(p, nested(127)) == lines{"'here'"});
  CHECK(rows(p, nested(129)).at(0).starts_with("rejected: no JSON"));
  CHECK(rows(p, nested(100'000)).at(0).starts_with("rejected: no JSON"));  // refused, not a stack overflow
  CHECK(rows(p, std::string(100'000, '[')).at(0).starts_with("rejected: no JSON"));
  CHECK(rows(p, fmt::format(R"({{"long":"{}","x":"here"}})", std::string(1'000'000, 'a'))) == lines{"'here'"});
  CHECK(rows(p, std::string((16 << 20) + 1, ' ')).at(0) == "rejected: longer than 16 MiB");
  std::string pointer;
  for (int i = 0; i < 100; ++i) pointer += "/0";
  const auto deep = planned(fmt::format(R"(columns = [ {{ name = "x", pointer = "/d{}", type = "json" }} ])", pointer));
  CHECK(rows(deep, nested(103)) == lines{"'[[[]]]'"});
}

TEST_CASE("what one record becomes is bounded") {
  std::string columns = "columns = [";
  for (int i = 0; i < 200; ++i) columns += fmt::format(R"({{ name = "c{}", pointer = "", type = "json" }},)", i);
  const auto wide = planned(columns + "]");
  CHECK(rows(wide, fmt::format(R"({{"x":"{}"}})", std::string(100'000, 'a'))) ==
        lines{"rejected: its rows would take more than 16 MiB"});
  CHECK(extracted(wide, fmt::format(R"({{"x":"{}"}})", std::string(50'000, 'a'))).rejection_reason.empty());
}

TEST_CASE("a text that an index could not hold counts as one of another type, in both databases") {
  const auto fits = [](const plan& p, std::size_t n) {
    return rows(p, fmt::format(R"({{"x":"{}"}})", std::string(n, 'a'))).at(0) != "NULL";
  };
  const std::string column = R"(columns = [ { name = "x", pointer = "/x" } ])";
  const auto single = planned(column + "\nindex = [[\"x\"]]");
  CHECK(fits(single, 2000));
  CHECK_FALSE(fits(single, 2001));
  const auto three = planned(column + "\nindex = [[\"x\", \"did\", \"rkey\"]]");
  CHECK(fits(three, 666));
  CHECK_FALSE(fits(three, 667));
  const auto counted = planned(column + "\ncount = [\"x\"]");
  CHECK(fits(counted, 2000));
  CHECK_FALSE(fits(counted, 2001));
  CHECK(fits(planned(column), 100'000));
  const auto uri = planned(R"(columns = [ { name = "x", pointer = "/x", type = "at-uri", required = true } ]
                              index = [["x_rkey", "x_did"]])");
  const auto of = [&](std::size_t n) {
    return rows(uri, fmt::format(R"({{"x":"at://did:plc:{}/a.b.c/1"}})", std::string(n, 'a'))).at(0);
  };
  CHECK(of(900).starts_with("'at://"));
  CHECK(of(1000) == "rejected: column x, /x in the record, is too long for the index or counter that it stands in");
}
