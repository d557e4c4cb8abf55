// `where`, one row for each element, and links.
#include "view_plan_fixture.hpp"

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

TEST_CASE("where: a record that is not wanted gives no row and is not rejected") {
  const auto kept = [](std::string_view where, std::string_view json) {
    const auto p = planned(
        fmt::format("where = [ {} ]\ncolumns = [ {{ name = \"x\", pointer = \"/x\", required = true }} ]", where));
    return rows(p, json);
  };
  const lines row{"'a'"};
  const lines none;
  const std::string_view reply = R"({ pointer = "/reply", exists = true })";
  CHECK(kept(reply, R"({"x":"a","reply":{}})") == row);
  CHECK(kept(reply, R"({"x":"a","reply":0})") == row);
  CHECK(kept(reply, R"({"x":"a","reply":null})") == none);
  CHECK(kept(reply, R"({"x":"a"})") == none);
  CHECK(kept(reply, R"({})") == none);
  CHECK(kept(reply, R"({"reply":1})") == lines{"rejected: column x, /x in the record, is missing"});
  CHECK(kept(R"({ pointer = "/reply", exists = false })", R"({"x":"a"})") == row);
  CHECK(kept(R"({ pointer = "/reply", exists = false })", R"({"x":"a","reply":null})") == row);
  CHECK(kept(R"({ pointer = "/reply", exists = false })", R"({"x":"a","reply":1})") == none);

  const auto equals = [&](std::string_view operand, std::string_view v) {
    return kept(fmt::format("{{ pointer = \"/v\", equals = {} }}", operand), fmt::format(R"({{"x":"a","v":{}}})", v)) ==
           row;
  };
  CHECK(equals("\"b\"", "\"b\""));
  CHECK_FALSE(equals("\"b\"", "\"bb\""));
  CHECK_FALSE(equals("\"b\"", "\"\""));
  CHECK_FALSE(equals("\"1\"", "1"));
  CHECK(equals(R"("a\"b\\")", R"("a\"b\\")"));
  CHECK_FALSE(equals(R"("a\"b\\")", R"("a\"b")"));
  CHECK(equals(R"("ä\n")", R"("\u00e4\u000a")"));
  CHECK(equals("1", "1"));
  CHECK(equals("1", "1.0"));
  CHECK(equals("1.5", "1.5"));
  CHECK(equals("2.0", "2"));
  CHECK_FALSE(equals("1", "true"));
  CHECK_FALSE(equals("1", "18446744073709551615"));
  CHECK(equals("-9223372036854775807", "-9223372036854775807"));
  CHECK_FALSE(equals("9007199254740993", "9007199254740992"));
  CHECK(equals("true", "true"));
  CHECK_FALSE(equals("true", "false"));
  CHECK_FALSE(equals("true", "\"true\""));
  CHECK_FALSE(equals("\"b\"", "[\"b\"]"));

  const std::string_view web = R"({ pointer = "/v", prefix = "did:web:" })";
  CHECK(kept(web, R"({"x":"a","v":"did:web:b"})") == row);
  CHECK(kept(web, R"({"x":"a","v":"did:web"})") == none);
  CHECK(kept(web, R"({"x":"a","v":1})") == none);
  const std::string_view both = R"({ pointer = "/v", prefix = "b" }, { pointer = "/w", equals = 1 })";
  CHECK(kept(both, R"({"x":"a","v":"bc","w":1})") == row);
  CHECK(kept(both, R"({"x":"a","v":"bc","w":2})") == none);
  CHECK(kept(both, R"({"x":"a","v":"c","w":1})") == none);
  CHECK(kept(both, "[]") == lines{"rejected: JSON, but no object"});  // it is unknown whether it was wanted
}

TEST_CASE("each: one row for each element, in document order") {
  const auto p = planned(R"(each = "/facets/*/features"
    columns = [ { name = "t", pointer = "/$type" }, { name = "who", pointer = "/did" },
                { name = "text", record = "/text" }, { name = "me", value = "did" } ])");
  CHECK(p.many());
  CHECK(rows(p, R"({"text":"T","facets":[{"features":[{"$type":"m","did":"a"},{"$type":"l"}]},{},{"features":{}},7,
                   {"features":[]},{"features":[{"did":"b"},3]}]})") ==
        lines{"'m' 'a' 'T' 'did:plc:me'", "'l' NULL 'T' 'did:plc:me'", "NULL 'b' 'T' 'did:plc:me'",
              "NULL NULL 'T' 'did:plc:me'"});
  for (const std::string_view nothing :
       {"{}", R"({"facets":{}})", R"({"facets":null})", R"({"facets":"x"})", R"({"facets":{"0":{"features":[1]}}})"}) {
    INFO(nothing);
    CHECK(rows(p, nothing).empty());
  }
}

TEST_CASE("each: where and required look into the element") {
  const auto p = planned(R"(each = "/facets"
    where = [ { pointer = "/t", equals = "m" }, { record = "/lang", equals = "en" } ]
    columns = [ { name = "who", pointer = "/who", required = true } ])");
  CHECK(rows(p, R"({"lang":"en","facets":[{"t":"x"},{"t":"m","who":"a"},{"t":"m","who":"b"}]})") ==
        lines{"'a'", "'b'"});
  CHECK(rows(p, R"({"lang":"de","facets":[{"t":"m","who":"a"}]})").empty());
  CHECK(rows(p, R"({"lang":"de","facets":[{"t":"m"}]})").empty());
  // One element that does not fit takes the whole record along: half a record would be no fold of anything.
  CHECK(rows(p, R"({"lang":"en","facets":[{"t":"m","who":"a"},{"t":"x"},{"t":"m","who":1}]})") ==
        lines{"rejected: column who, /who in element 2 of /facets, is none of its type"});
  const auto tags = planned(R"(each = "/tags"
    where = [ { pointer = "", prefix = "a" } ]
    columns = [ { name = "tag", pointer = "", required = true } ])");
  CHECK(rows(tags, R"({"tags":["ab","b","a",1]})") == lines{"'ab'", "'a'"});
  const auto grid = planned(R"(each = "/m/*"
    columns = [ { name = "n", pointer = "", type = "integer" } ])");
  CHECK(rows(grid, R"({"m":[[1,2],3,[4]]})") == lines{"1", "2", "4"});
  const auto place = planned(R"(each = "/m/1"
    columns = [ { name = "n", pointer = "", type = "integer" } ])");
  CHECK(rows(place, R"({"m":[[1,2],[4]]})") == lines{"4"});
}

TEST_CASE("each: a record with too many elements is rejected, not a flood") {
  const auto p = planned(R"(each = "/a"
    columns = [ { name = "n", pointer = "", type = "integer", required = true } ])");
  const auto list = [](std::size_t n) {
    std::string out = R"({"a":[1)";
    for (std::size_t i = 1; i < n; ++i) out += ",1";
    return out + "]}";
  };
  CHECK(rows(p, list(10'000)).size() == 10'000);
  CHECK(rows(p, list(10'001)) == lines{"rejected: more than 10000 elements at /a"});
  const auto copies = planned(R"(each = "/a"
    columns = [ { name = "all", record = "", type = "json" } ])");
  CHECK(rows(copies, list(9000)) == lines{"rejected: its rows would take more than 16 MiB"});
}

namespace {

/// "kind path target" for each link in a record.
lines links(std::string_view json) {
  static const auto p = planned("extract = \"links\"");
  lines out;
  const auto got = extracted(p, json);
  REQUIRE(got.rejection_reason.empty());
  for (const auto& r : got.rows)
    out.push_back(
        fmt::format("{} {} {}", std::get<std::string>(r[0]), std::get<std::string>(r[1]), std::get<std::string>(r[2])));
  return out;
}

}  // namespace

TEST_CASE("links: every at-uri, DID and URL, with the path that leads to it") {
  CHECK(links("{}").empty());
  CHECK(links(R"({"subject":{"uri":"at://did:plc:a/a.b.c/1","cid":"bafy"},"by":"did:web:b.c"})") ==
        lines{"at-uri .subject.uri at://did:plc:a/a.b.c/1", "did .by did:web:b.c"});
  CHECK(links(R"({"l":["https://a.b","http://c/?d#e",["did:plc:x"]],"":"https://f"})") ==
        lines{"url .l[] https://a.b", "url .l[] http://c/?d#e", "did .l[][] did:plc:x", "url . https://f"});
  CHECK(links(R"({"f":[{"x":[{"$type":"t#m","did":"did:plc:a"}]},{"$type":7,"u":"https://b"},)"
              R"({"$type":"T","u":"https://c"}]})") ==
        lines{"did .f[].x[t#m].did did:plc:a", "url .f[].u https://b", "url .f[T].u https://c"});
  for (const std::string_view none : {"did:",
                                      "did:plc",
                                      "did:plc:",
                                      "DID:plc:a",
                                      "at://",
                                      "at://x",
                                      "at://did:plc:a/post/1",
                                      "https://",
                                      "https:///x",
                                      "http://?",
                                      "ftp://a.b",
                                      "https://a b",
                                      "see https://a.b",
                                      "https://a.b ",
                                      "mailto:a@b.c",
                                      "",
                                      "https://a\\u0000b",
                                      "https://a\\nb",
                                      "javascript:alert(1)",
                                      "https://a<b"}) {
    INFO(none);
    CHECK(links(fmt::format(R"({{"x":"{}"}})", none)).empty());
  }
  CHECK(links(R"({"a\u0000b":"https://a","c":[{"$type":"t\u0000","u":"https://b"}]})") ==
        lines{"url .c[].u https://b"});
}

TEST_CASE("links: the first 1,000 of a record, none longer than an index can hold") {
  std::string many = R"({"l":["https://0")";
  for (int i = 1; i < 1500; ++i) many += fmt::format(R"(,"https://{}")", i);
  const auto got = links(many + R"(],"m":"https://last"})");
  REQUIRE(got.size() == 1000);
  CHECK(got.front() == "url .l[] https://0");
  CHECK(got.back() == "url .l[] https://999");
  const auto url = [](std::size_t n) { return "https://" + std::string(n - 8, 'a'); };
  CHECK(links(fmt::format(R"({{"a":"{}","b":"{}","c":"did:plc:c"}})", url(2001), url(2000))) ==
        lines{"url .b " + url(2000), "did .c did:plc:c"});
  CHECK(links(fmt::format(R"({{"{}":"did:plc:a","b":"did:plc:b"}})", std::string(600, 'k'))) ==
        lines{"did .b did:plc:b"});
  CHECK(links(fmt::format(R"({{"x":{}"did:plc:a"{}}})", std::string(126, '['), std::string(126, ']'))).size() == 1);
}
