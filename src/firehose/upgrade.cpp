#include "upgrade.hpp"

#include "recordkv/core/base64.hpp"
#include "recordkv/http/retry_after.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>


namespace recordkv::firehose {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using answer_parser = http::response_parser<http::string_body>;

constexpr std::size_t body_limit = 64 * 1024;
constexpr std::chrono::seconds max_stay_away{15 * 60};

std::string base64_of(const unsigned char* data, std::size_t size) {
  return padded_base64({reinterpret_cast<const char*>(data), size});
}

std::string fresh_key() {
  unsigned char nonce[16] = {};
  RAND_bytes(nonce, sizeof nonce);
  return base64_of(nonce, sizeof nonce);
}

// RFC 6455 §4.2.2: proves that a WebSocket server answered, and not a cache.
std::string accept_for(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr);
  return base64_of(digest, size);
}

http::request<http::empty_body> request_for(const ws_url& url, const std::string& key) {
  http::request<http::empty_body> r(http::verb::get, url.target(), 11);
  const std::string origin = url.origin();
  r.set(http::field::host, origin.substr(origin.find("//") + 2));
  r.set(http::field::upgrade, "websocket");
  r.set(http::field::connection, "Upgrade");
  r.set(http::field::sec_websocket_key, key);
  r.set(http::field::sec_websocket_version, "13");
  r.set(http::field::user_agent, "recordkv/" RECORDKV_VERSION);
  return r;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 200)) out += c >= ' ' && c < 0x7f ? c : ' ';
  return out;
}

// Redirects are not followed: the configuration names the source, and its cursor is kept under that name.
error redirected(unsigned status, std::string_view reason, std::string_view where) {
  return fail(errc::refused,
              "the server answered HTTP {} {}: it redirects to {}; set source.url to that address, with {}", status,
              printable(reason), where.empty() ? "an address that it does not name" : printable(where),
              "wss:// or ws:// in front");
}

// Of an XRPC error, {"error":"Name","message":"…"}, also of one that breaks off behind the name.
std::string_view error_name(std::string_view body) {
  constexpr std::string_view key = R"("error")", blank = " \t\r\n";
  const auto at = body.find(key);
  if (at == body.npos) return {};
  body.remove_prefix(at + key.size());
  const auto skip = [&] { body.remove_prefix(std::min(body.find_first_not_of(blank), body.size())); };
  const auto take = [&](char c) {
    skip();
    const bool there = body.starts_with(c);
    if (there) body.remove_prefix(1);
    return there;
  };
  return take(':') && take('"') ? body.substr(0, body.find('"')) : std::string_view();
}

error refusal(unsigned status, std::string_view reason, std::string_view body) {
  const bool hopeless = status == 400 || status == 401 || status == 403 || status == 404 || status == 501;
  const auto code = !hopeless                            ? errc::refused
                    : error_name(body) == "CursorTooOld" ? errc::cursor_stale
                                                         : errc::bad_config;
  return fail(code, "the server answered HTTP {} {}: {}", status, printable(reason), printable(body));
}

result<> judge(answer_parser& parser, const std::string& key) {
  const auto& head = parser.get();
  const auto status = head.result_int();
  if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
    return redirected(status, head.reason(), head[http::field::location]);
  if (status != 101) return refusal(head.result_int(), head.reason(), head.body());
  if (!boost::beast::iequals(head[http::field::upgrade], "websocket") ||
      head[http::field::sec_websocket_accept] != accept_for(key))
    return fail(errc::malformed, "the server's answer to the WebSocket upgrade is not valid");
  if (!head[http::field::sec_websocket_extensions].empty() || !head[http::field::sec_websocket_protocol].empty())
    return fail(errc::malformed, "the server chose a WebSocket extension that was not offered");
  return {};
}

error broken(const error_code& ec) {
  const bool cut_off = ec == http::error::end_of_stream || ec == http::error::partial_message;
  const bool their_fault = !cut_off && ec.category() == http::make_error_code(http::error::bad_version).category();
  return fail(their_fault ? errc::malformed : errc::unreachable, "WebSocket upgrade: {}", ec.message());
}

template <class Stream>
task<upgrade_answer> exchange(Stream& stream, const ws_url& url) {
  upgrade_answer out;
  const std::string key = fresh_key();
  const auto request = request_for(url, key);
  auto [wrote, n] = co_await http::async_write(stream, request, use_task);
  if (wrote) {
    out.accepted = broken(wrote);
    co_return out;
  }
  boost::beast::flat_buffer buffer(128 * 1024);
  answer_parser parser;
  parser.header_limit(16 * 1024);
  parser.body_limit(body_limit);
  auto [ec, m] = co_await http::async_read_header(stream, buffer, parser, use_task);
  if (ec && ec != http::error::body_limit) {
    out.accepted = broken(ec);
    co_return out;
  }
  // The body of a refusal explains it. When the body breaks off, the part that has come is used.
  while (!ec && parser.get().result_int() != 101 && !parser.is_done() && parser.get().body().size() < 200) {
    auto [bad, k] = co_await http::async_read_some(stream, buffer, parser, use_task);
    if (bad) break;
  }
  out.accepted = judge(parser, key);
  out.retry_after = recordkv::http::retry_after(parser.get()[http::field::retry_after], max_stay_away);
  const auto rest = buffer.cdata();
  out.ahead.assign(static_cast<const char*>(rest.data()), rest.size());
  co_return out;
}

}  // namespace

task<upgrade_answer> upgrade(asio::ip::tcp::socket& plain, asio::ssl::stream<asio::ip::tcp::socket&>* tls,
                             const ws_url& url) {
  if (tls) co_return co_await exchange(*tls, url);
  co_return co_await exchange(plain, url);
}

}  // namespace recordkv::firehose
