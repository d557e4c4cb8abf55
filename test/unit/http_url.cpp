// http/url.hpp: what is read, what is refused, and where redirects lead.
#include "recordkv/http/url.hpp"

#include "recordkv/http/retry_after.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using namespace std::chrono_literals;
using http::parse_url;

namespace {

bool is_read(std::string_view text, const http::url& as) {
  const auto read = parse_url(text);
  return read && *read == as;
}

}  // namespace

TEST_CASE("URL: its parts") {
  CHECK(is_read("https://Example.COM", {true, "example.com", 443, "/"}));
  CHECK(is_read("http://a.b/x?y=%20", {false, "a.b", 80, "/x?y=%20"}));
  CHECK(is_read("https://a.b?q", {true, "a.b", 443, "/?q"}));
  CHECK(is_read("https://a.b:8443/", {true, "a.b", 8443, "/"}));
  CHECK(is_read("https://xn--bcher-kva.test/", {true, "xn--bcher-kva.test", 443, "/"}));
  CHECK(is_read("https://93.184.216.34/", {true, "93.184.216.34", 443, "/"}));
  CHECK(is_read("https://[2606:4700:0:0::1]:444/", {true, "2606:4700::1", 444, "/"}));
  CHECK(parse_url("https://a.b:443/x")->text() == "https://a.b/x");
  CHECK(parse_url("http://[::1]:8080")->origin() == "http://[::1]:8080");
  CHECK(parse_url("http://[::1]:8080")->authority() == "[::1]:8080");
}

TEST_CASE("URL: what is refused") {
  const std::string label(63, 'a');
  for (const std::string& text : {std::string(),
                                  std::string("a.b"),
                                  std::string("//a.b"),
                                  std::string("ftp://a.b"),
                                  std::string("file:///etc"),
                                  std::string("HTTPS://a.b"),
                                  std::string("https:a.b"),
                                  std::string("https:///x"),
                                  std::string("https://"),
                                  std::string("https://u@a.b"),
                                  std::string("https://u:p@a.b"),
                                  std::string("https://a.b@c.d"),
                                  std::string("https://a.b\\@c.d/"),
                                  std::string("https://a.b\\c"),
                                  std::string("https://a b/"),
                                  std::string("https://a.b/ x"),
                                  std::string("https://a.b/\r\nX: y"),
                                  std::string("https://a.b/\tx"),
                                  std::string("https://a.b/\x7f"),
                                  std::string("https://a.b/\xc3\xa4"),
                                  std::string("https://b\xc3\xbc.de"),
                                  std::string("https://a.b/") + '\0',
                                  std::string("https://a.b#c"),
                                  std::string("https://a.b/x#c"),
                                  std::string("https://a.b:"),
                                  std::string("https://a.b:0"),
                                  std::string("https://a.b:65536"),
                                  std::string("https://a.b:4 43"),
                                  std::string("https://a.b:+443"),
                                  std::string("https://a.b:443x"),
                                  std::string("https://a..b"),
                                  std::string("https://.a.b"),
                                  std::string("https://a.b."),
                                  std::string("https://-a.b"),
                                  std::string("https://a-.b"),
                                  std::string("https://a_b.c"),
                                  std::string("https://a%2eb"),
                                  std::string("https://*.b"),
                                  "https://" + label + "a.b",
                                  "https://" + label + '.' + label + '.' + label + '.' + label + ".b",
                                  "https://a.b/" + std::string(2048, 'x'),
                                  std::string("https://127.1"),
                                  std::string("https://2130706433"),
                                  std::string("https://0x7f.0.0.1"),
                                  std::string("https://0177.0.0.1"),
                                  std::string("https://127.0.0.01"),
                                  std::string("https://127.0.0.1.2"),
                                  std::string("https://1.2.3.256"),
                                  std::string("https://a.0x7f"),
                                  std::string("https://[::1"),
                                  std::string("https://[::1]x"),
                                  std::string("https://[::1%25lo]"),
                                  std::string("https://[fe80::1%eth0]"),
                                  std::string("https://[127.0.0.1]"),
                                  std::string("https://[]"),
                                  std::string("https://::1")}) {
    INFO(text);
    const auto read = parse_url(text);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().code == errc::malformed);
  }
}

TEST_CASE("URL: redirects lead to another host or path, and never out of TLS") {
  const auto from = *parse_url("https://a.b:8443/x/y?z");
  CHECK(http::redirected(from, "/n")->text() == "https://a.b:8443/n");
  CHECK(http::redirected(from, "/n#part")->text() == "https://a.b:8443/n");
  CHECK(http::redirected(from, "https://c.d/n#part")->text() == "https://c.d/n");
  for (const std::string_view to : {"", "n", "?n", "//c.d/n", "http://c.d/n", "http://a.b:8443/n", "file:///etc",
                                    "https://u@c.d/", "/\r\nX: y", "https://127.1/"}) {
    INFO(to);
    CHECK_FALSE(http::redirected(from, to).has_value());
  }
  CHECK(http::redirected(*parse_url("http://a.b/"), "https://a.b/")->tls);
}

TEST_CASE("Retry-After: seconds or a date, within a bound") {
  CHECK(http::retry_after("7", 60s) == 7s);
  CHECK(http::retry_after("0", 60s) == 0s);
  CHECK(http::retry_after("99999999999999999999999", 60s) == 60s);
  CHECK(http::retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 60s) == 0s);
  CHECK(http::retry_after("Wed, 21 Oct 2099 07:28:00 GMT", 60s) == 60s);
  for (const std::string_view wrong : {"", "-1", "soon", "1.5", " 7"}) CHECK_FALSE(http::retry_after(wrong, 60s));
}
