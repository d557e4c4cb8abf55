// xrpc/repo_lists.hpp: what a page of a hostile host becomes.
#include "recordkv/xrpc/repo_lists.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using kind = xrpc::list_request::kind;
using words = std::vector<std::string>;

namespace {

std::optional<xrpc::list_page> repos(std::string_view body) { return xrpc::read_list_page(kind::repos, body, false); }

}  // namespace

TEST_CASE("List page: accounts, and what is left out") {
  const auto page = repos(R"({"cursor":"c","repos":[{"did":"did:plc:44ybard66vv44zksje25o7dz","rev":""},
    {"did":"did:web:a.example","active":true},{"did":"did:plc:z72i7hdynmk6r22z27h6tvur","active":false,"status":"x"},
    {"did":"no did"},{"did":7},{},[],null,"did:web:b.example"],"more":1})");
  REQUIRE(page);
  CHECK(page->items == words{"did:plc:44ybard66vv44zksje25o7dz", "did:web:a.example"});
  CHECK(page->inactive == 1);
  CHECK(page->cursor == "c");
}

TEST_CASE("List page: what is no page") {
  for (const char* body : {"", "{}", "[]", R"({"repos":{}})", R"({"repos":null})", R"({"hosts":[]})", "{\"repos\":["})
    CHECK_FALSE(repos(body));
  CHECK_FALSE(repos(R"({"repos":[],"cursor":")" + std::string(3000, 'x') + "\"}"));
  CHECK(repos(R"({"repos":[]})")->cursor.empty());
}

TEST_CASE("List page: no more items than the lexicon allows") {
  std::string body = R"({"repos":[)";
  for (int i = 0; i < 1500; ++i) body += R"({"did":"did:web:a.example"},)";
  body.back() = ']';
  CHECK(repos(body + "}")->items.size() == 1000);
  CHECK(xrpc::read_list_page(kind::repos_by_collection, body + "}", false)->items.size() == 1500);
}

TEST_CASE("List page: hosts become URLs, and what is no host is left out") {
  constexpr std::string_view body = R"({"hosts":[{"hostname":"pds.example","accountCount":3},
    {"hostname":"evil.example/path"},{"hostname":"https://x.example"},{"hostname":"user@x.example"},
    {"hostname":"banned.example","status":"banned","accountCount":9},{"hostname":"127.0.0.1:2583","accountCount":4},
    {"hostname":"far.example","accountCount":18446744073709551615},{"hostname":"neg.example","accountCount":-5}]})";
  const auto page = xrpc::read_list_page(kind::hosts, body, true);
  REQUIRE(page);
  CHECK(page->items ==
        words{"https://pds.example", "http://127.0.0.1:2583", "https://far.example", "https://neg.example"});
  CHECK(page->accounts == 1'000'000'007);
  CHECK(xrpc::read_list_page(kind::hosts, body, false)->items[1] == "https://127.0.0.1:2583");
}
