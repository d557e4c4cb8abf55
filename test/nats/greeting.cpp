// What a server says before a client logs in, and which servers are refused by their version.
#include "recordkv/nats/greeting.hpp"

#include "../support/nats_process.hpp"

using namespace recordkv;
using namespace recordkv::test;

namespace {

result<void> accept(std::string version) {
  return nats::accept({.version = std::move(version), .jetstream = true}, "nats://there");
}

}  // namespace

TEST_CASE("versions that lose or hide messages are refused, by number") {
  for (const auto* good :
       {"2.10.0", "2.10.29", "2.11.0", "2.12.6", "2.12.10", "2.14.2", "2.15.0", "2.15.2", "3.0.0", "2.12.10-RC.1"}) {
    INFO(good);
    CHECK(accept(good).has_value());
  }
  for (const auto* bad : {"2.9.25", "2.2.0", "1.4.1", "2.12.7", "2.12.8", "2.12.9", "2.14.0", "2.14.1", ""}) {
    INFO(bad);
    const auto refused = accept(bad);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::unsupported);
    CHECK(refused.error().text.find("nats://there") != std::string::npos);
  }
}

TEST_CASE("a server greets with version, identity and JetStream") {
  asio::io_context io(1);
  nats_process server;
  const auto g = run_coroutine(io, nats::greet(server.url("somebody:secret@")));
  REQUIRE(g);
  REQUIRE(g->has_value());
  CHECK((*g)->jetstream);
  CHECK_FALSE((*g)->server_id.empty());
  CHECK((*g)->max_payload == 1 << 20);
  CHECK(nats::accept(**g, "").has_value());
}

TEST_CASE("a server without JetStream says so, and what is missing is told in words") {
  asio::io_context io(1);
  nats_process server({}, false);
  const auto g = run_coroutine(io, nats::greet(server.url()));
  REQUIRE(g);
  REQUIRE(g->has_value());
  CHECK_FALSE((*g)->jetstream);
  const auto why = nats::no_jetstream("here");
  CHECK(why.code == errc::unsupported);
  CHECK(why.text.find("nats.domain") != std::string::npos);
}

TEST_CASE("what does not greet like NATS is unreachable; the first of several that does is taken") {
  asio::io_context io(1);
  const silent_listener mute, web(0, "HTTP/1.1 400 Bad Request\r\n\r\n");
  std::uint16_t nobody = 0;
  {
    nobody = silent_listener().port();
  }
  const auto three =
      fmt::format("nats://127.0.0.1:{},127.0.0.1:{},nats://127.0.0.1:{}", nobody, web.port(), mute.port());
  const auto none = run_coroutine(io, nats::greet(three, 200ms));
  REQUIRE(none);
  REQUIRE(none->has_error());
  CHECK(none->error().code == errc::unreachable);
  nats_process server;
  const auto found = run_coroutine(io, nats::greet(three + "," + server.url(), 200ms));
  REQUIRE(found);
  CHECK(found->has_value());
}

TEST_CASE("what is shown of nats.url holds no user and no password, whatever stands in them") {
  using nats::without_secrets;
  CHECK(without_secrets("nats://there:4222") == "nats://there:4222");
  CHECK(without_secrets("nats://a:1,b:2") == "nats://a:1,b:2");
  CHECK(without_secrets("tls://me:secret@there") == "tls://there");
  CHECK(without_secrets("nats://token@there") == "nats://there");
  CHECK(without_secrets("nats://me:se@cr/et,9@there") == "nats://there");
  CHECK(without_secrets("nats://one, nats://me:se,cret@two,three,nats://me:x@four") ==
        "nats://one,nats://two,three,nats://four");
}
