// The resolver's pure parts: what an answer means, and the memory of failures.
#include "../../src/identity/failure_memory.hpp"
#include "../../src/identity/reading.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using namespace recordkv::identity;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

reading of_directory(http::answer said) { return read_answer(did, std::move(said), true, false); }
reading of_host(http::answer said) { return read_answer(did, std::move(said), false, false); }
reading of_host(errc code) { return read_answer(did, fail(code, "why"), false, false); }
reading of_directory(errc code) { return read_answer(did, fail(code, "why"), true, false); }

}  // namespace

TEST_CASE("reading: 404 and 410 are answers") {
  for (const unsigned status : {404U, 410U}) {
    const auto r = of_directory({.status = status});
    REQUIRE(r.answer.has_value());
    CHECK(r.answer->error().code == errc::not_found);
    CHECK(r.outcome == "not_found");
  }
}

TEST_CASE("reading: other statuses are failures") {
  for (const unsigned status : {204U, 301U, 302U, 400U, 401U, 403U, 408U, 418U, 500U, 502U, 503U}) {
    INFO(status);
    const auto r = of_host({.status = status});
    CHECK_FALSE(r.answer.has_value());
    CHECK(r.outcome == "status");
    CHECK(r.failure.code == errc::unreachable);
  }
}

TEST_CASE("reading: a host that is asked too often names a time, a minute at most") {
  const auto r = of_directory({.status = 429, .retry_after = "7"});
  CHECK_FALSE(r.answer.has_value());
  CHECK(r.outcome == "rate_limited");
  CHECK(r.stay_away == 7s);
  CHECK(of_directory({.status = 429, .retry_after = "86400"}).stay_away == 60s);
  CHECK_FALSE(of_directory({.status = 429}).stay_away);
}

TEST_CASE("reading: what a did:web host sends is the answer; a directory that sends it has failed") {
  for (const std::string body : {"<html>", "{}", R"({"id":"did:plc:another"})"}) {
    INFO(body);
    CHECK(of_host({.status = 200, .body = body}).answer->error().code == errc::malformed);
    CHECK_FALSE(of_directory({.status = 200, .body = body}).answer.has_value());
    CHECK(of_directory({.status = 200, .body = body}).outcome == "garbage");
  }
  for (const errc code : {errc::malformed, errc::too_large}) {
    CHECK(of_host(code).answer->error().code == errc::malformed);
    CHECK_FALSE(of_directory(code).answer.has_value());
  }
  const std::string without_key = fmt::format(R"({{"id":"{}"}})", did);
  CHECK(of_directory({.status = 200, .body = without_key}).answer->error().code == errc::malformed);
}

TEST_CASE("reading: silence is a failure of its kind") {
  CHECK(of_host(errc::timed_out).failure.code == errc::timed_out);
  CHECK(of_host(errc::unreachable).failure.code == errc::unreachable);
  CHECK_FALSE(of_host(errc::timed_out).answer.has_value());
}

TEST_CASE("failure memory: each entry ends, and is forgotten on request") {
  failure_memory memory(60s);
  const failure_memory::clock::time_point start{1h};
  memory.remember("did:plc:a", fail(errc::timed_out, "a"), start);
  memory.remember("did:plc:b", fail(errc::timed_out, "b"), start + 10s);
  memory.remember("did:plc:a", fail(errc::unreachable, "again"), start + 30s);
  CHECK(memory.find("did:plc:a", start + 80s)->text == "again");
  CHECK_FALSE(memory.find("did:plc:b", start + 80s));
  CHECK_FALSE(memory.find("did:plc:a", start + 90s));
  memory.remember("did:plc:c", fail(errc::timed_out, "c"), start);
  memory.forget("did:plc:c");
  CHECK_FALSE(memory.find("did:plc:c", start));
  CHECK(memory.size() == 0);
}

TEST_CASE("failure memory: bounded, the oldest goes first") {
  failure_memory memory(60s);
  const failure_memory::clock::time_point start{1h};
  for (std::size_t i = 0; i <= failure_memory::max_entries; ++i)
    memory.remember(fmt::format("did:plc:{}", i), fail(errc::timed_out, "x"), start);
  CHECK(memory.size() == failure_memory::max_entries);
  CHECK_FALSE(memory.find("did:plc:0", start));
  CHECK(memory.find("did:plc:1", start));
}
