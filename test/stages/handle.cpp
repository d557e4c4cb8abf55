// identity/handle.hpp against a host, a DNS and a directory that agree, contradict each other, or send what they like.
#include "recordkv/identity/handle.hpp"
#include "../support/fake_http_server.hpp"
#include "../support/fake_relay.hpp"

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using namespace recordkv;
using namespace recordkv::test;
using namespace std::chrono_literals;
using identity::did_in_body;
using identity::did_in_dns_answer;
using then = reply::then;

namespace {

constexpr std::string_view key = "zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF";
constexpr std::string_view alice = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", bob = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
constexpr std::string_view well_known = "/.well-known/atproto-did";

reply document(std::string_view did, std::string_view handle) {
  return http_reply(200, fmt::format(R"({{"id":"{0}","verificationMethod":[{{"id":"{0}#atproto","type":"Multikey",)"
                                     R"("controller":"{0}","publicKeyMultibase":"{1}"}}],"alsoKnownAs":["at://{2}"]}})",
                                     did, key, handle));
}

std::string number(std::size_t n) { return {static_cast<char>(n >> 8), static_cast<char>(n & 0xFF)}; }
std::string piece(std::string_view text) { return static_cast<char>(text.size()) + std::string(text); }
std::string name_of(std::string_view label) { return piece(label) + piece("test") + std::string(1, '\0'); }

// A record of the answer section; its name is a pointer to the question's.
std::string record(std::string_view data, unsigned type = 16) {
  return "\xC0\x0C" + number(type) + number(1) + std::string(4, '\0') + number(data.size()) + std::string(data);
}
std::string dns(const std::vector<std::string>& records) {
  std::string out = std::string("\x12\x34\x81\x80", 4) + number(1) + number(records.size()) + number(0) + number(0);
  out += name_of("_atproto") + number(16) + number(1);
  for (const auto& r : records) out += r;
  return out;
}
std::string says(std::string_view text) { return record(piece(text)); }
std::string names(std::string_view did) { return says("did=" + std::string(did)); }

struct handle_rig {
  handle_rig()
      : server(io),
        documents(io.get_executor(), {.plc_url = server.url(), .timeout = 200ms, .patience = 300ms}, counters) {
    server.answer = [this](std::string_view target) {
      return target == well_known ? by_host : document(target.substr(1), handle_in_document);
    };
  }

  identity::handle_options options() {
    return {.allow_private_hosts = true,
            .timeout = 300ms,
            .url_of = [this](std::string_view handle) -> result<http::url> {
              auto out = identity::handle_url(handle);
              if (!out) return out.error();
              return http::parse_url(server.url() + out->target);
            },
            .text_records = [this](std::string name) { return answer_of_dns(std::move(name)); }};
  }
  task<result<std::string>> answer_of_dns(std::string name) {
    dns_names.push_back(std::move(name));
    co_return by_dns;
  }

  result<std::string> look_up(std::string handle) {
    identity::handle_resolver under_test(io.get_executor(), options(), documents);
    auto out = finish(io, under_test.look_up(std::move(handle)));
    REQUIRE(out.has_value());
    return std::move(*out);
  }
  error failure(std::string handle) {
    const auto out = look_up(std::move(handle));
    REQUIRE_FALSE(out.has_value());
    INFO(out.error().text);
    CHECK(out.error().text.find("a.example.com") != std::string::npos);
    return out.error();
  }

  asio::io_context io{1};
  meters counters;
  fake_http_server server;
  reply by_host = http_reply(404);
  result<std::string> by_dns{error{errc::not_found, "there is none"}};
  std::vector<std::string> dns_names;
  std::string handle_in_document = "a.example.com";
  identity::resolver documents;
};

errc code_of(const result<std::string>& r) {
  REQUIRE_FALSE(r.has_value());
  return r.error().code;
}

}  // namespace

TEST_CASE("handle: its host names the DID, and the document the handle") {
  handle_rig rig;
  rig.by_host = http_reply(200, fmt::format("\n {} \r\n", alice));
  CHECK(rig.look_up("A.Example.COM").value() == alice);
  CHECK(rig.server.targets == std::vector<std::string>{std::string(well_known), "/" + std::string(alice)});
  CHECK(rig.dns_names.empty());
}

TEST_CASE("handle: its host may send the question on, but not for ever") {
  handle_rig rig;
  rig.by_host = http_reply(302, "", fmt::format("Location: {}\r\n", well_known));
  CHECK(rig.failure("a.example.com").code == errc::not_found);
  CHECK(rig.server.targets.size() == 4);
}

TEST_CASE("handle: DNS is asked when the host names no DID") {
  const std::vector<reply> hosts{http_reply(404),
                                 http_reply(200, "<html>"),
                                 http_reply(200, std::string(3000, 'x')),
                                 http_reply(200, ""),
                                 {.bytes = {}, .after = then::mute}};
  for (const auto& host : hosts) {
    INFO(host.bytes.substr(0, 60));
    handle_rig rig;
    rig.by_host = host;
    rig.by_dns = dns({says("v=spf1 -all"), names(alice)});
    CHECK(rig.look_up("a.example.com").value() == alice);
    CHECK(rig.dns_names == std::vector<std::string>{"_atproto.a.example.com"});
  }
}

TEST_CASE("handle: a document that names another handle, or none, refutes it") {
  for (const std::string other : {"b.example.com", "no handle"}) {
    handle_rig rig;
    rig.by_host = http_reply(200, alice);
    rig.handle_in_document = other;
    const auto why = rig.failure("a.example.com");
    CHECK(why.code == errc::malformed);
    CHECK(why.text.find("DID document there names " + other) != std::string::npos);
    CHECK(why.text.find(alice) != std::string::npos);
  }
}

TEST_CASE("handle: no place names a DID") {
  handle_rig rig;
  const auto why = rig.failure("a.example.com");
  CHECK(why.code == errc::not_found);
  CHECK(why.text.find("HTTP 404") != std::string::npos);
  CHECK(why.text.find("_atproto.a.example.com: there is none") != std::string::npos);
  rig.by_dns = error{errc::timed_out, "DNS does not answer"};
  CHECK(rig.failure("a.example.com").code == errc::timed_out);
  rig.by_dns = dns({says("did=nothing")});
  CHECK(rig.failure("a.example.com").code == errc::not_found);
  rig.by_host = {.bytes = {}, .after = then::close};
  CHECK(rig.failure("a.example.com").code == errc::unreachable);
}

TEST_CASE("handle: a directory that is down or knows no such DID") {
  handle_rig rig;
  rig.by_host = http_reply(200, alice);
  rig.server.answer = [&](std::string_view target) { return target == well_known ? rig.by_host : http_reply(404); };
  CHECK(rig.failure("a.example.com").code == errc::not_found);
  rig.server.answer = [&](std::string_view target) { return target == well_known ? rig.by_host : http_reply(500); };
  CHECK(rig.failure("a.example.com").code == errc::unreachable);
}

TEST_CASE("handle: what is no handle of a public host is asked nowhere") {
  handle_rig rig;
  for (const std::string handle : {"", "localhost", "a.example.com/x", "127.0.0.1", "a.invalid", "a.local", "a.onion",
                                   "a b.com", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}) {
    INFO(handle);
    CHECK(code_of(rig.look_up(handle)) == errc::malformed);
  }
  CHECK(rig.server.targets.empty());
  CHECK(rig.dns_names.empty());
  CHECK(identity::handle_url("A.example.com").value().text() == "https://a.example.com/.well-known/atproto-did");
}

TEST_CASE("handle: the body of an answer") {
  CHECK(did_in_body(fmt::format("\r\n\t {}\n", alice)).value() == alice);
  for (const std::string& body :
       {std::string(), std::string(" \n"), fmt::format("{} {}", alice, bob), fmt::format("did={}", alice),
        fmt::format("\"{}\"", alice), std::string("did:plc:"), std::string(alice) + std::string(1, '\0')})
    CHECK(code_of(did_in_body(body)) == errc::malformed);
}

TEST_CASE("handle: text records") {
  CHECK(did_in_dns_answer(dns({names(alice)})).value() == alice);
  CHECK(did_in_dns_answer(dns({names(alice), names(alice)})).value() == alice);
  CHECK(did_in_dns_answer(dns({record(name_of("alias"), 5), names(alice)})).value() == alice);
  CHECK(did_in_dns_answer(dns({record(piece("did=did:plc:aaaa") + piece(alice.substr(12)))})).value() == alice);
  CHECK(code_of(did_in_dns_answer(dns({}))) == errc::not_found);
  CHECK(code_of(did_in_dns_answer(dns({says(""), says("DID=x"), record("", 16)}))) == errc::not_found);
  CHECK(code_of(did_in_dns_answer(dns({record(piece("did=" + std::string(alice)), 99)}))) == errc::not_found);
  CHECK(code_of(did_in_dns_answer(dns({names(alice), names(bob)}))) == errc::malformed);
  CHECK(code_of(did_in_dns_answer(dns({names(alice), says("did=")}))) == errc::malformed);
  CHECK(code_of(did_in_dns_answer(dns({record("\x30"
                                              "did=")}))) == errc::malformed);
}

TEST_CASE("handle: a DNS answer is never read beyond its end") {
  const auto whole = dns({says("v=spf1 -all"), names(alice)});
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const std::vector<char> torn(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));  // its end is guarded
    CHECK(code_of(did_in_dns_answer({torn.data(), torn.size()})) == errc::malformed);
  }
  std::string promises(12, '\xFF');  // 65,535 questions and answers that do not come
  CHECK(code_of(did_in_dns_answer(promises)) == errc::malformed);
  promises.append(70'000, '\0');
  CHECK(code_of(did_in_dns_answer(promises)) == errc::malformed);
  auto reserved_label = whole;
  reserved_label[12] = '\x80';
  CHECK(code_of(did_in_dns_answer(reserved_label)) == errc::malformed);
  for (std::size_t n = 0; n < whole.size(); ++n)  // whatever one byte says, reading ends
    for (int value = 0; value < 256; ++value) {
      auto changed = whole;
      changed[n] = static_cast<char>(value);
      (void)did_in_dns_answer(changed);
    }
}
