// identity/resolver.hpp against a directory that is slow, down, wrong, or asks for less.
#include "../support/fake_http_server.hpp"
#include "../support/fake_relay.hpp"
#include "recordkv/identity/resolver.hpp"

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace recordkv;
using namespace recordkv::test;
using namespace std::chrono_literals;
using identity::account_identity;
using identity::resolver;
using then = reply::then;

namespace {

constexpr std::string_view key = "zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF";
constexpr std::string_view alice = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", bob = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";

std::string did_of(int n) {
  std::string out(alice);
  for (auto at = out.size(); n > 0; n /= 26) out[--at] = static_cast<char>('a' + n % 26);
  return out;
}

reply document(std::string_view target, std::string_view host = "pds.example.com") {
  const auto did = target.substr(1);
  return http_reply(200, fmt::format(R"({{"id":"{0}","verificationMethod":[{{"id":"{0}#atproto","type":"Multikey",)"
                                     R"("controller":"{0}","publicKeyMultibase":"{1}"}}],"service":[{{"id":)"
                                     R"("#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":)"
                                     R"("https://{2}"}}],"alsoKnownAs":["at://a.example.com"]}})",
                                     did, key, host));
}

struct identity_rig {
  explicit identity_rig(identity::resolver_options options = {})
      : server(io), under_test(io.get_executor(), at(options), counters) {
    server.answer = [](std::string_view target) { return document(target); };
  }
  ~identity_rig() {
    under_test.close();
    CHECK(comes_true(io, [this] { return under_test.under_way() == 0; }));
  }

  identity::resolver_options at(identity::resolver_options options) const {
    if (options.plc_url == "https://plc.directory") options.plc_url = server.url();
    return options;
  }

  result<account_identity> look_up(std::string_view did) {
    auto out = finish(io, under_test.look_up(std::string(did)));
    REQUIRE(out.has_value());
    return std::move(*out);
  }
  errc failure(std::string_view did) {
    const auto out = look_up(did);
    REQUIRE_FALSE(out.has_value());
    INFO(out.error().text);
    return out.error().code;
  }
  void begin(std::string_view did) {
    asio::co_spawn(io, under_test.look_up(std::string(did)), [this](std::exception_ptr e, result<account_identity> r) {
      if (e) std::rethrow_exception(e);
      ends.push_back(std::move(r));
    });
  }
  bool asked(std::size_t n) {
    return comes_true(io, [&, this] { return server.targets.size() >= n; });
  }
  bool ended(std::size_t n) {
    return comes_true(io, [&, this] { return ends.size() >= n; });
  }
  auto requests(std::string_view outcome) const { return counters.value("identity_requests", outcome); }
  auto look_ups(std::string_view how) const { return counters.value("identity_look_ups", how); }

  asio::io_context io{1};
  meters counters;
  fake_http_server server;
  std::vector<result<account_identity>> ends;
  resolver under_test;
};

const identity::resolver_options impatient{.timeout = 150ms, .patience = 400ms};

}  // namespace

TEST_CASE("identity: the directory's document") {
  identity_rig rig;
  const auto out = rig.look_up(alice);
  REQUIRE(out.has_value());
  CHECK((*out == account_identity{std::string(key), "https://pds.example.com", "a.example.com"}));
  CHECK(rig.server.targets == std::vector<std::string>{'/' + std::string(alice)});
  CHECK(rig.requests("found") == 1);
  CHECK(rig.under_test.last_error().empty());
}

TEST_CASE("identity: a mirror of the directory may have a path") {
  asio::io_context io{1};
  meters counters;
  fake_http_server server(io);
  server.answer = [](std::string_view target) { return document(target.substr(4)); };
  resolver under_test(io.get_executor(), {.plc_url = server.url() + "/plc/"}, counters);
  CHECK(finish(io, under_test.look_up(std::string(alice)))->has_value());
  CHECK(server.targets.at(0) == "/plc/" + std::string(alice));
}

TEST_CASE("identity: look-ups of one DID share one request") {
  identity_rig rig;
  rig.server.answer = [](std::string_view target) {
    auto out = document(target);
    out.held = true;
    return out;
  };
  for (int i = 0; i < 50; ++i) rig.begin(alice);
  REQUIRE(rig.asked(1));
  for (int i = 0; i < 50; ++i) rig.begin(alice);
  rig.begin(bob);
  REQUIRE(rig.asked(2));
  rig.server.release.notify();
  REQUIRE(rig.ended(101));
  CHECK(rig.server.targets.size() == 2);
  CHECK(rig.look_ups("shared") == 99);
  for (const auto& end : rig.ends) CHECK(end.has_value());
}

TEST_CASE("identity: at most so many requests at once, and the others get their turn") {
  identity_rig rig({.at_once = 6, .per_host = 4});
  rig.server.answer = [](std::string_view target) {
    auto out = document(target);
    out.held = true;
    return out;
  };
  for (int i = 0; i < 40; ++i) rig.begin(did_of(i));
  std::size_t let_go = 0;
  while (let_go < 40) {
    REQUIRE(comes_true(rig.io, [&] { return rig.server.waiting == 4; }));
    rig.server.release.notify();
    let_go += 4;
    REQUIRE(rig.ended(let_go));
  }
  CHECK(rig.server.most_waiting == 4);
  CHECK(rig.server.connections == 4);  // used again
  CHECK(rig.server.targets.size() == 40);
  for (const auto& end : rig.ends) CHECK(end.has_value());
}

TEST_CASE("identity: a long queue alone fails no look-up") {
  identity_rig rig({.at_once = 2, .per_host = 1, .timeout = 5s, .patience = 300ms});
  rig.server.answer = [](std::string_view target) {
    auto out = document(target);
    out.delay = 40ms;
    return out;
  };
  for (int i = 0; i < 20; ++i) rig.begin(did_of(i));  // together longer than the patience
  REQUIRE(rig.ended(20));
  for (const auto& end : rig.ends) CHECK(end.has_value());
}

TEST_CASE("identity: 404 and 410 are answers, and are not remembered") {
  identity_rig rig;
  for (const int status : {404, 410}) {
    rig.server.answer = [=](std::string_view) { return http_reply(status, R"({"message":"no"})"); };
    CHECK(rig.failure(alice) == errc::not_found);
    CHECK(rig.under_test.last_error().empty());
  }
  CHECK(rig.server.targets.size() == 2);
  CHECK(rig.requests("not_found") == 2);
}

TEST_CASE("identity: a document without a key is an answer") {
  identity_rig rig;
  rig.server.answer = [](std::string_view target) {
    return http_reply(200, fmt::format(R"({{"id":"{}"}})", target.substr(1)));
  };
  CHECK(rig.failure(alice) == errc::malformed);
  CHECK(rig.requests("unusable") == 1);
}

TEST_CASE("identity: a failure is tried again, and shown until it has passed") {
  identity_rig rig;
  std::string shown;
  rig.server.answer = [&](std::string_view target) {
    shown = rig.under_test.last_error();
    return rig.server.targets.size() == 1 ? http_reply(500, "oops") : document(target);
  };
  CHECK(rig.look_up(alice).has_value());
  CHECK(rig.server.targets.size() == 2);
  CHECK(shown.find("answered HTTP 500") != std::string::npos);
  CHECK(shown.find(rig.server.url()) != std::string::npos);
  CHECK(rig.under_test.last_error().empty());
  CHECK(rig.requests("status") == 1);
}

TEST_CASE("identity: every kind of failure has its name, and is tried again") {
  const std::string kilobytes(4000, 'x');
  const std::vector<std::pair<std::string, reply>> kinds{
      {"status", http_reply(500, "oops")},
      {"status", http_reply(302, "", "Location: /elsewhere\r\n")},
      {"garbage", http_reply(200, "<html>captive portal</html>")},
      {"garbage", document('/' + std::string(bob))},
      {"too_large", {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"}},
      {"too_large", {.bytes = "HTTP/1.1 200 OK\r\n\r\n", .after = then::endless, .again = kilobytes}},
      {"too_large", {.bytes = "HTTP/1.1 200 OK\r\nX: ", .after = then::endless, .again = kilobytes}},
      {"timed_out", {.bytes = {}, .after = then::mute}},
      {"timed_out", {.bytes = "HTTP/1.1 200 OK\r\nX: ", .after = then::drip}},
      {"unreachable", {.bytes = "SSH-2.0-OpenSSH_9\r\n", .after = then::close}},
      {"unreachable", {.bytes = {}, .after = then::close}},
  };
  for (const auto& [outcome, what] : kinds) {
    INFO(outcome << ": " << what.bytes);
    identity_rig rig({.timeout = outcome == "timed_out" ? 50ms : 10s});
    std::string shown;
    rig.server.answer = [&](std::string_view target) {
      shown = rig.under_test.last_error();
      return rig.requests(outcome) > 0 ? document(target) : what;
    };
    CHECK(rig.look_up(alice).has_value());
    CHECK(rig.requests(outcome) == 1);
    CHECK(rig.server.targets == std::vector<std::string>(2, '/' + std::string(alice)));
    CHECK_FALSE(shown.empty());
  }
}

TEST_CASE("identity: what failed last is told when patience ends") {
  for (const bool silent : {false, true}) {
    identity_rig rig(impatient);
    rig.server.answer = [&](std::string_view) {
      return silent ? reply{.bytes = {}, .after = then::mute} : http_reply(500);
    };
    CHECK(rig.failure(alice) == (silent ? errc::timed_out : errc::unreachable));
    CHECK(rig.look_ups("gave_up") == 1);
  }
}

TEST_CASE("identity: a failure is remembered until the document changes") {
  auto options = impatient;
  options.allow_private_hosts = true;
  identity_rig rig(options);
  const auto did = fmt::format("did:web:localhost%3A{}", rig.server.port());
  rig.server.answer = [](std::string_view) { return http_reply(500); };
  CHECK(rig.failure(did) == errc::unreachable);
  const auto before = rig.server.targets.size();
  rig.server.answer = [&](std::string_view) { return document('/' + did); };
  CHECK(rig.failure(did) == errc::unreachable);
  CHECK(rig.server.targets.size() == before);
  CHECK(rig.look_ups("remembered") == 1);
  rig.under_test.changed(did);
  CHECK(rig.look_up(did).has_value());
}

TEST_CASE("identity: a failure is forgotten in time") {
  auto options = impatient;
  options.remember_failure = 1ms;
  identity_rig rig(options);
  rig.server.answer = [](std::string_view) { return http_reply(500); };
  CHECK(rig.failure(alice) == errc::unreachable);
  rig.server.answer = [](std::string_view target) { return document(target); };
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!rig.look_up(alice).has_value()) REQUIRE(std::chrono::steady_clock::now() < until);
}

TEST_CASE("identity: nothing listens at the directory") {
  auto options = impatient;
  asio::io_context other;
  {
    asio::ip::tcp::acceptor gone(other, {asio::ip::address_v4::loopback(), 0});
    options.plc_url = fmt::format("http://127.0.0.1:{}", gone.local_endpoint().port());
  }
  identity_rig rig(options);
  CHECK(rig.failure(alice) == errc::unreachable);
  CHECK(rig.under_test.last_error().find(options.plc_url) != std::string::npos);
}

TEST_CASE("identity: a directory that is down is asked by one at a time") {
  identity_rig rig({.at_once = 32, .per_host = 16, .timeout = 2s, .patience = 1500ms});
  rig.server.answer = [](std::string_view) { return http_reply(503); };
  for (int i = 0; i < 500; ++i) rig.begin(did_of(i));
  REQUIRE(rig.ended(500));
  for (const auto& end : rig.ends) CHECK(end.error().code != errc::closed);
  CHECK(rig.server.targets.size() < 50);  // sixteen at first
}

TEST_CASE("identity: 429 slows all look-ups down") {
  identity_rig rig;
  rig.server.answer = [&](std::string_view target) {
    return rig.server.targets.size() == 1 ? http_reply(429, "", "Retry-After: 1\r\n") : document(target);
  };
  rig.begin(alice);
  REQUIRE(comes_true(rig.io, [&] { return rig.requests("rate_limited") == 1; }));
  CHECK(rig.under_test.last_error().find("429") != std::string::npos);
  rig.begin(bob);
  REQUIRE(rig.ended(2));
  for (const auto& end : rig.ends) CHECK(end.has_value());
  REQUIRE(rig.server.times.size() == 3);
  CHECK(rig.server.times[1] - rig.server.times[0] >= 1s);  // by anyone
  CHECK(rig.under_test.last_error().empty());
}

TEST_CASE("identity: a request that began before a change is repeated") {
  identity_rig rig;
  rig.server.answer = [&](std::string_view target) {
    const bool first = rig.server.targets.size() == 1;
    auto out = document(target, first ? "old.example.com" : "new.example.com");
    out.held = first;
    return out;
  };
  rig.begin(alice);
  REQUIRE(comes_true(rig.io, [&] { return rig.server.waiting == 1; }));
  rig.under_test.changed(alice);
  rig.server.release.notify();
  REQUIRE(rig.ended(1));
  CHECK(rig.ends[0]->pds == "https://new.example.com");
}

TEST_CASE("identity: endless changes don't keep a look-up from its end") {
  identity_rig rig;
  rig.server.answer = [&](std::string_view target) {
    rig.under_test.changed(alice);
    return document(target);
  };
  CHECK(rig.look_up(alice).has_value());
  CHECK(rig.server.targets.size() == 4);
}

TEST_CASE("identity: close() ends what is asked and what waits") {
  identity_rig rig({.at_once = 3, .per_host = 2});
  rig.server.answer = [](std::string_view) { return reply{.bytes = {}, .after = then::mute}; };
  for (int i = 0; i < 20; ++i) rig.begin(did_of(i));
  REQUIRE(rig.asked(2));
  CHECK(rig.under_test.under_way() == 20);
  rig.under_test.close();
  REQUIRE(rig.ended(20));
  for (const auto& end : rig.ends) CHECK(end.error().code == errc::closed);
  CHECK(rig.failure(alice) == errc::closed);
  CHECK(rig.server.targets.size() == 2);
}

TEST_CASE("identity: a resolver may go while look-ups wait") {
  asio::io_context io{1};
  fake_http_server server(io);
  server.answer = [](std::string_view) { return reply{.bytes = {}, .after = then::mute}; };
  std::optional<errc> end;
  {
    meters counters;
    resolver under_test(io.get_executor(), {.plc_url = server.url()}, counters);
    asio::co_spawn(io, under_test.look_up(std::string(alice)),
                   [&](std::exception_ptr, result<account_identity> r) { end = r.error().code; });
    REQUIRE(comes_true(io, [&] { return server.targets.size() == 1; }));
  }
  REQUIRE(comes_true(io, [&] { return end.has_value(); }));
  CHECK(end == errc::closed);
}

TEST_CASE("identity: DIDs that are asked nowhere") {
  identity_rig rig;
  for (const std::string did : {"", "did:plc:", "did:plc:AAAAAAAAAAAAAAAAAAAAAAAA", "did:plc:aaaaaaaaaaaaaaaaaaaaaaa",
                                "did:plc:../../../../etc/passwd", "did:plc:aaaaaaaaaaaaaaaaaaaaaaa1",
                                "did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF", "did:web:localhost",
                                "did:web:127.0.0.1", "did:web:a.b:c"}) {
    INFO(did);
    CHECK(rig.failure(did) == errc::malformed);
  }
  CHECK(rig.look_ups("refused") == 10);
  CHECK(rig.server.targets.empty());
}

TEST_CASE("identity: a plc_url that is none") {
  identity_rig rig({.plc_url = "plc.directory"});
  CHECK(rig.failure(alice) == errc::bad_config);
}

TEST_CASE("identity: did:web at localhost, in development") {
  identity_rig rig({.allow_private_hosts = true});
  const auto did = fmt::format("did:web:localhost%3A{}", rig.server.port());
  rig.server.answer = [&](std::string_view) { return document('/' + did); };
  CHECK(rig.look_up(did).has_value());
  CHECK(rig.server.targets.at(0) == "/.well-known/did.json");
  rig.server.answer = [&](std::string_view) { return http_reply(200, "<html>"); };
  CHECK(rig.failure(did) == errc::malformed);  // the host speaks for itself
  CHECK(rig.server.targets.size() == 2);
}

TEST_CASE("identity: did:web hosts that are silent don't hold up the directory") {
  identity_rig rig({.allow_private_hosts = true, .at_once = 3, .per_host = 2});
  fake_http_server silent(rig.io), another(rig.io);
  silent.answer = another.answer = [](std::string_view) { return reply{.bytes = {}, .after = then::mute}; };
  for (const auto port : {silent.port(), another.port()}) rig.begin(fmt::format("did:web:localhost%3A{}", port));
  REQUIRE(comes_true(rig.io, [&] { return silent.targets.size() + another.targets.size() == 1; }));
  for (int i = 0; i < 10; ++i) rig.begin(did_of(i));
  REQUIRE(rig.ended(10));
  for (const auto& end : rig.ends) CHECK(end.has_value());
  CHECK(silent.targets.size() + another.targets.size() == 1);
  CHECK(rig.under_test.last_error().empty());
}
