// xrpc/pds_client.hpp: what is asked of a PDS host, and what its answers mean.
#include "pds_rig.hpp"

#include <array>
#include <ctime>

using namespace recordkv;
using namespace recordkv::test;

namespace {

using failure = xrpc::pds_client::failure;

bool is(const failure& f, errc code, std::string_view word) {
  INFO(f.text);
  CHECK(name(f.code) == name(code));
  CHECK(f.word == word);
  return f.code == code && f.word == word;
}

}  // namespace

TEST_CASE("PDS: a repo is asked for by its DID, and counts in the budget until it is given back") {
  pds_rig rig;
  rig.answers(http_reply(200, "a CAR"));
  auto got = rig.repo(rig.server.url(), "did:web:localhost%3A3000");
  REQUIRE(got.has_value());
  CHECK(rig.server.targets.at(0) == "/xrpc/com.atproto.sync.getRepo?did=did:web:localhost%253A3000");
  CHECK(rig.budget.held() == 5);
  CHECK(got->take_car() == "a CAR");
  CHECK(rig.budget.held() == 5);
  got->give_back();
  got->give_back();
  CHECK(rig.budget.held() == 0);
  CHECK(rig.count("found") == 1);
}

TEST_CASE("PDS: a repo that moves is counted once") {
  pds_rig rig;
  rig.answers(http_reply(200, "a CAR"));
  {
    auto first = *rig.repo(rig.server.url());
    CHECK(rig.budget.held() == 5);
    auto second = *rig.repo(rig.server.url());
    CHECK(rig.budget.held() == 10);
    first = std::move(second);
    CHECK(rig.budget.held() == 5);
    CHECK(first.take_car() == "a CAR");
  }
  CHECK(rig.budget.held() == 0);
}

TEST_CASE("PDS: the error's name decides, whatever the status") {
  struct expected {
    std::string_view error, word, outcome, status;
    errc code;
  };
  const std::array all{expected{"RepoNotFound", "repo_not_found", "not_found", "", errc::not_found},
                       expected{"RepoTakendown", "repo_takendown", "refused", "takendown", errc::refused},
                       expected{"RepoSuspended", "repo_suspended", "refused", "suspended", errc::refused},
                       expected{"RepoDeactivated", "repo_deactivated", "refused", "deactivated", errc::refused},
                       expected{"RepoInactive", "repo_inactive", "refused", "inactive", errc::refused},
                       expected{"RepoDeleted", "repo_deleted", "refused", "", errc::refused}};
  pds_rig rig;
  for (const auto& one : all)
    for (const int status : {400, 401, 403, 404, 429, 500}) {
      INFO(one.error << " " << status);
      const auto f = rig.failure(xrpc_error(status, one.error), one.outcome);
      CHECK(is(f, one.code, one.word));
      CHECK(xrpc::status_of_refusal(f.word) == one.status);
      CHECK(f.text.ends_with(fmt::format("answered HTTP {}: {}: words of the host", status, one.error)));
      CHECK(f.stay_away == (status == 429 ? 10s : 0s));
    }
  CHECK(rig.repo(rig.server.url()).error().word == "repo_deleted");
  CHECK(rig.status(rig.server.url()).error().word == "repo_deleted");
  CHECK(rig.count("refused", "getRepoStatus") == 1);
}

TEST_CASE("PDS: any other status, with what the host says") {
  pds_rig rig;
  for (const int status : {204, 206, 304, 401, 403, 404, 410, 500, 502}) {
    INFO(status);
    const auto f = rig.failure(http_reply(status), "status");
    CHECK(is(f, errc::unavailable, "status"));
    CHECK(f.text.ends_with(fmt::format("HTTP {}", status)));
    CHECK(f.stay_away == 0s);
  }
  CHECK(rig.failure(xrpc_error(403, "AuthMissing"), "status").text.ends_with("403: AuthMissing: words of the host"));
  CHECK(is(rig.failure(xrpc_error(300, "RepoNotFound"), "status"), errc::unavailable, "status"));
}

TEST_CASE("PDS: a host's words are printable and short") {
  pds_rig rig;
  const std::string most(1000, 'x');
  const auto f = rig.failure(xrpc_error(400, "A\\u001b[31m\\u007f\\u00e9" + most), "status");
  const auto said = f.text.substr(f.text.find("400: ") + 5);
  CHECK(said.starts_with("A?[31m???xxx"));
  CHECK(said.size() == 200);
}

TEST_CASE("PDS: an error that is no XRPC error is a status") {
  pds_rig rig;
  const std::string deep(60'000, '['), name = R"({"error":"RepoNotFound"})";
  for (const std::string& body :
       {std::string("{"), std::string("[]"), std::string("null"), std::string(R"({"error":5})"),
        std::string(R"({"error":{"error":"RepoNotFound"}})"), name + "x", std::string("<html>"), deep,
        std::string(R"({"error":"RepoNotFound","message":")") + std::string(100'000, 'x') + "\"}"}) {
    INFO(body.substr(0, 40));
    CHECK(is(rig.failure(http_reply(400, body), "status"), errc::unavailable, "status"));
  }
  CHECK(is(rig.failure(http_reply(400, name), "not_found"), errc::not_found, "repo_not_found"));
}

TEST_CASE("PDS: how long a host wants to be left alone") {
  pds_rig rig;
  const auto after_429 = [&rig](std::string_view fields) {
    const auto f = rig.failure(xrpc_error(429, "RateLimitExceeded", fields), "rate_limited");
    CHECK(is(f, errc::full, "rate_limited"));
    return f.stay_away;
  };
  const auto in = [](int s) { return fmt::format("RateLimit-Reset: {}\r\n", std::time(nullptr) + s); };
  CHECK(after_429("Retry-After: 7\r\n") == 7s);
  CHECK(after_429("Retry-After: 99999999999999999999\r\n") == 1h);
  CHECK(after_429("Retry-After: Fri, 31 Dec 2199 23:59:59 GMT\r\n") == 1h);
  CHECK(after_429("Retry-After: 7\r\n" + in(3000)) == 7s);
  CHECK(after_429("Retry-After: soon\r\n") == 10s);
  CHECK(after_429("") == 10s);
  CHECK(after_429(in(-5)) == 10s);
  CHECK(after_429("RateLimit-Reset: soon\r\n") == 10s);
  CHECK(after_429(in(100'000)) == 1h);
  const auto asked = after_429(in(3000));
  CHECK((asked > 2900s && asked <= 3000s));

  CHECK(rig.failure(http_reply(503, "", "Retry-After: 8\r\n"), "status").stay_away == 8s);
  CHECK(rig.failure(http_reply(503, "", in(60)), "status").stay_away == 0s);
  CHECK(rig.failure(http_reply(500, "", "Retry-After: 8\r\n"), "status").stay_away == 0s);
}

TEST_CASE("PDS: an account's status") {
  pds_rig rig;
  const auto reads = [&rig](std::string_view body, const xrpc::repo_status& as) {
    rig.answers(http_reply(200, body));
    const auto got = rig.status(rig.server.url());
    INFO(body);
    REQUIRE(got.has_value());
    CHECK(got->active == as.active);
    CHECK(got->status == as.status);
    CHECK(got->rev == as.rev);
  };
  reads(R"({"did":"did:plc:x","active":true,"rev":"3l3qo2vutsw2b"})", {.active = true, .rev = "3l3qo2vutsw2b"});
  reads(R"({"active":false,"status":"takendown"})", {.active = false, .status = "takendown"});
  reads(R"({"active":true,"status":null,"rev":5})", {.active = true});
  reads(fmt::format(R"({{"active":false,"status":"a\n{}"}})", std::string(100, 'x')),
        {.active = false, .status = "a?" + std::string(62, 'x')});
  CHECK(rig.server.targets.at(0) == fmt::format("/xrpc/com.atproto.sync.getRepoStatus?did={}", alice));
  CHECK(rig.count("found", "getRepoStatus") == 4);
  CHECK(rig.budget.held() == 0);
}

TEST_CASE("PDS: what is no status of an account") {
  pds_rig rig;
  const std::string large = R"({"active":true,"status":")" + std::string(70'000, 'x') + "\"}";
  for (const std::string body : {"", "{}", "[true]", R"({"active":1})", R"({"active":"true"})", R"({"active":true)"}) {
    INFO(body);
    rig.answers(http_reply(200, body));
    const auto got = rig.status(rig.server.url());
    REQUIRE_FALSE(got.has_value());
    CHECK(is(got.error(), errc::malformed, "garbage"));
  }
  CHECK(rig.count("garbage", "getRepoStatus") == 6);
  rig.answers(http_reply(200, large));
  CHECK(is(rig.status(rig.server.url()).error(), errc::too_large, "too_large"));
}

TEST_CASE("PDS: an account's newest commit, and what is none") {
  pds_rig rig;
  const std::string cid = "bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uxgf5kpqcsgz7soitae", rev = "3l3qo2vutsw2b";
  const auto body = [](std::string_view c, std::string_view r) {
    return fmt::format(R"({{"cid":"{}","rev":"{}"}})", c, r);
  };
  rig.answers(http_reply(200, body(cid, rev)));
  const auto got = rig.latest(rig.server.url());
  REQUIRE(got.has_value());
  CHECK(got->cid == cid);
  CHECK(got->rev == rev);
  CHECK(rig.server.targets.at(0) == fmt::format("/xrpc/com.atproto.sync.getLatestCommit?did={}", alice));
  CHECK(rig.count("found", "getLatestCommit") == 1);
  for (const auto& wrong : {std::string(), std::string("[]"), fmt::format(R"({{"rev":"{}"}})", rev), body(cid, ""),
                            body("", rev), body(cid, rev + "2"), body("a\\nb", rev), body(std::string(99, 'a'), rev)}) {
    INFO(wrong);
    rig.answers(http_reply(200, wrong));
    const auto bad = rig.latest(rig.server.url());
    REQUIRE_FALSE(bad.has_value());
    CHECK(is(bad.error(), errc::malformed, "garbage"));
  }
  rig.answers(xrpc_error(400, "RepoDeactivated"));
  CHECK(is(rig.latest(rig.server.url()).error(), errc::refused, "repo_deactivated"));
}

TEST_CASE("PDS: a host that may not be asked is not asked") {
  pds_rig rig({.allow_private_hosts = false});
  const auto port = rig.server.port();
  const std::string local = rig.server.url();
  for (const std::string& pds :
       {local, "https" + local.substr(4), std::string("https://127.0.0.1"), std::string("http://a.example"),
        std::string("https://1.1.1.1:22"), std::string("https://a.example/path"), std::string("https://a.example?x"),
        std::string("https://u@a.example"), std::string("ftp://a.example"), std::string(),
        fmt::format("https://[::ffff:127.0.0.1]:{}", port)}) {
    INFO(pds);
    CHECK(is(rig.repo(pds).error(), errc::malformed, "pds"));
    CHECK(is(rig.status(pds).error(), errc::malformed, "pds"));
  }
  CHECK(rig.server.connections == 0);
  CHECK(rig.count("forbidden") == 11);
  CHECK(rig.count("forbidden", "getRepoStatus") == 11);
  CHECK(rig.repo("https://\x1b[2J").error().text.find('\x1b') == std::string::npos);
}

TEST_CASE("PDS: nothing listens there") {
  pds_rig rig;
  std::uint16_t free = 0;
  {
    asio::ip::tcp::acceptor other(rig.io, {asio::ip::address_v4::loopback(), 0});
    free = other.local_endpoint().port();
  }
  CHECK(is(rig.repo(fmt::format("http://127.0.0.1:{}", free)).error(), errc::unreachable, "unreachable"));
  CHECK(rig.count("unreachable") == 1);
}
