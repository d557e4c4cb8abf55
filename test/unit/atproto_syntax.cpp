// Identifiers against the interoperability lists, and against edges that the lists do not have.
#include "recordkv/atproto/syntax.hpp"

#include "atproto_support.hpp"

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

/// Checks both lists of one identifier.
template <class Accepts>
void check_lists(const std::string& what, Accepts accepts) {
  const std::string folder = "bluesky-social__atproto-interop-tests/syntax/";
  for (const bool valid : {true, false}) {
    std::size_t n = 0;
    for (const auto& line : test::fixture_lines(folder + what + "_syntax_" + (valid ? "valid" : "invalid") + ".txt")) {
      if (line.empty() || line.starts_with('#')) continue;
      INFO(line);
      CHECK(accepts(line) == valid);
      ++n;
    }
    CHECK(n > 0);
  }
}

}  // namespace

TEST_CASE("fixtures: DID") { check_lists("did", is_did); }
TEST_CASE("fixtures: NSID") { check_lists("nsid", is_nsid); }
TEST_CASE("fixtures: record key") { check_lists("recordkey", is_rkey); }
TEST_CASE("fixtures: TID") { check_lists("tid", is_tid); }
TEST_CASE("fixtures: handle") { check_lists("handle", is_handle); }
TEST_CASE("fixtures: at-identifier") {
  check_lists("atidentifier", [](std::string_view s) { return is_did(s) || is_handle(s); });
}
// The lists hold the restricted form: no fragment, no query. Nothing of them is left out.
TEST_CASE("fixtures: AT-URI") {
  check_lists("aturi", [](std::string_view s) { return parse_at_uri(s).has_value(); });
}

TEST_CASE("lengths of identifiers") {
  CHECK(is_did("did:x:" + std::string(2042, 'a')));
  CHECK_FALSE(is_did("did:x:" + std::string(2043, 'a')));
  CHECK(is_rkey(std::string(512, 'a')));
  CHECK_FALSE(is_rkey(std::string(513, 'a')));
  CHECK_FALSE(is_rkey(""));
  const std::string label(63, 'a');
  CHECK(is_nsid(label + ".b." + label));
  CHECK_FALSE(is_nsid(label + "a.b.c"));
  CHECK_FALSE(is_nsid("a.b." + label + "a"));
  const auto authority = label + '.' + label + '.' + label + '.' + std::string(61, 'b');
  REQUIRE(authority.size() == 253);
  CHECK(is_nsid(authority + '.' + label));
  CHECK_FALSE(is_nsid("a." + authority + '.' + label));
  CHECK(is_handle(authority));
  CHECK_FALSE(is_handle(authority + 'b'));
}

TEST_CASE("nothing that could split a NATS subject or a line is an identifier") {
  for (const char c : {'\0', ' ', '\r', '\n', '\t', '*', '>', '/', '\x7f', '\x80', '\xff'}) {
    INFO(static_cast<int>(c));
    const std::string s(1, c);
    CHECK_FALSE(is_did("did:plc:a" + s + "b"));
    CHECK_FALSE(is_nsid("com.exam" + s + "ple.x"));
    CHECK_FALSE(is_rkey("a" + s + "b"));
    CHECK_FALSE(is_rkey("ab" + s));
    CHECK_FALSE(is_tid("3kabcdefgh22" + s));
    CHECK_FALSE(is_handle("a" + s + ".example.com"));
  }
}

TEST_CASE("shapes seen in the network") {
  CHECK(is_nsid("cn.8.lex.stuff"));
  CHECK(is_nsid("a-0.b-1.c"));
  CHECK(is_nsid("com.example.fooBar"));
  CHECK_FALSE(is_nsid("com.example.foo-bar"));
  CHECK_FALSE(is_nsid("com.example"));
  CHECK_FALSE(is_nsid("com..example.foo"));
  CHECK_FALSE(is_nsid("8.cn.lex.stuff"));
  CHECK(is_rkey("did:plc:abc::did:web:example.com"));
  CHECK_FALSE(is_rkey("."));
  CHECK_FALSE(is_rkey(".."));
  CHECK(is_rkey("..."));
  CHECK(is_tid("2222222222222"));
  CHECK(is_tid("222222d7n7i22"));
  CHECK(is_tid("jzzzzzzzzzzzz"));
  CHECK_FALSE(is_tid("kzzzzzzzzzzzz"));
  CHECK_FALSE(is_tid("3kabcdefgh221"));
}

TEST_CASE("an AT-URI falls into its parts") {
  const auto whole = parse_at_uri("at://did:plc:abc/com.example.note/self");
  REQUIRE(whole.has_value());
  CHECK(whole->authority == "did:plc:abc");
  CHECK(whole->collection == "com.example.note");
  CHECK(whole->rkey == "self");
  const auto part = parse_at_uri("at://example.com");
  REQUIRE(part.has_value());
  CHECK(part->authority == "example.com");
  CHECK(part->collection.empty());
  CHECK_FALSE(parse_at_uri("at://did:plc:abc/com.example.note/self#x").has_value());
  CHECK_FALSE(parse_at_uri("at://did:plc:abc?x").has_value());
  CHECK_FALSE(parse_at_uri("at://did:plc:abc/com.example.note/").has_value());
}
