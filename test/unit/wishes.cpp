// The key and the JSON form of a person's wish for an account.
#include "recordkv/kv/wishes.hpp"
#include "recordkv/kv/repo_state.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;

namespace {
const std::string alice = "did:plc:44ybard66vv44zksje25o7dz";
}

TEST_CASE("a wish's key names its account, and is no account's state") {
  CHECK(kv::wish_key(alice) == "want.did/3Aplc/3A44ybard66vv44zksje25o7dz");
  CHECK(kv::account_of_wish_key(kv::wish_key(alice)) == "did/3Aplc/3A44ybard66vv44zksje25o7dz");
  CHECK(kv::account_of_repo_key(kv::wish_key(alice)).empty());
  for (const auto* key : {"", "want", "want.", "want.x", "want.did/3Aplc/3Aa.b", "wants.did/3Aplc/3Aa", "4.did/3Aplc"})
    CHECK(kv::account_of_wish_key(key).empty());
}

TEST_CASE("a wish survives its JSON form") {
  for (const auto what : {kv::wish_kind::add, kv::wish_kind::remove, kv::wish_kind::resync}) {
    const kv::wish w{.did = alice, .what = what, .at = "2026-11-28T09:00:00.000Z"};
    const auto again = kv::parse_wish(kv::to_json(w));
    REQUIRE(again.has_value());
    CHECK(again->did == w.did);
    CHECK(again->what == w.what);
    CHECK(again->at == w.at);
  }
  CHECK(kv::to_json({.did = alice, .what = kv::wish_kind::add}) == R"({"did":")" + alice + R"(","what":"add"})");
}

TEST_CASE("a wish may have members that this version does not know, and needs no time") {
  const auto w = kv::parse_wish(R"({"did":"did:web:a.example","what":"remove","by":{"x":[1]},"at":"soon\u001b[2J"})");
  REQUIRE(w.has_value());
  CHECK(w->did == "did:web:a.example");
  CHECK(w->what == kv::wish_kind::remove);
  CHECK(w->at.empty());
}

TEST_CASE("what is no wish is malformed") {
  const auto deep = std::string(5000, '[') + std::string(5000, ']');
  const auto large = R"({"did":"did:web:a.example","what":"add","x":")" + std::string(100'000, 'x') + R"("})";
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("{}"), std::string("{\"did\":"),
        std::string("\xff\xfe"), std::string(R"({"did":"did:web:a.example"})"), std::string(R"({"what":"add"})"),
        std::string(R"({"did":"alice","what":"add"})"), std::string(R"({"did":1,"what":"add"})"),
        std::string(R"({"did":"did:web:a.example","what":"ADD"})"),
        std::string(R"({"did":"did:web:a.example","what":2})"),
        std::string(R"({"did":"did:web:a.example\u0000","what":"add"})"),
        std::string(R"({"did":"did:web:a.example","what":""})"), deep, large}) {
    INFO(text.substr(0, 80));
    const auto w = kv::parse_wish(text);
    REQUIRE(w.has_error());
    CHECK(w.error().code == errc::malformed);
  }
}
