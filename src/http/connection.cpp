#include "connection.hpp"

#include "answer_body.hpp"

#include <boost/asio/ssl.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

namespace recordkv::http {
namespace {

namespace beast_http = boost::beast::http;
using field = beast_http::field;
using answer_parser = beast_http::response_parser<answer_body>;

constexpr std::size_t read_ahead = 64 << 10;

beast_http::request<beast_http::empty_body> request_for(const url& what) {
  beast_http::request<beast_http::empty_body> r(beast_http::verb::get, what.target, 11);
  r.set(field::host, what.authority());
  r.set(field::user_agent, "recordkv/" RECORDKV_VERSION);
  r.set(field::accept, "*/*");
  return r;
}

bool is_limit(const boost::system::error_code& ec) {
  return ec == beast_http::error::header_limit || ec == beast_http::error::body_limit ||
         ec == beast_http::error::buffer_overflow;
}

answer answer_in(answer_parser& parser) {
  auto message = parser.release();
  return {.status = message.result_int(),
          .body = std::move(message.body().bytes),
          .retry_after = std::string(message[field::retry_after]),
          .content_type = std::string(message[field::content_type]),
          .location = std::string(message[field::location]),
          .rate_limit_reset = std::string(message["RateLimit-Reset"])};
}

template <class Stream>
task<boost::system::error_code> read_whole(Stream& stream, boost::beast::flat_buffer& buffer, answer_parser& parser,
                                           const std::function<void()>& heard) {
  parser.eager(true);
  while (!parser.is_done()) {
    if (parser.is_header_done()) buffer.reserve(read_ahead);  // otherwise a body is read in pieces of 512 bytes
    auto [ec, n] = co_await beast_http::async_read_some(stream, buffer, parser, use_task);
    if (ec) co_return ec;
    heard();
  }
  co_return boost::system::error_code{};
}

}  // namespace

error connection::lost(std::string_view during, const boost::system::error_code& ec) const {
  if (is_limit(ec)) return fail(errc::too_large, "{}: {}: the answer is too large ({})", origin_, during, ec.message());
  return fail(errc::unreachable, "{}: {}: {}", origin_, during, ec.message());
}

task<result<>> connection::secure(asio::ssl::context& authorities) {
  tls_.emplace(socket_, authorities);
  if (auto ok = tls_expect_host(*tls_, host_); !ok) co_return ok.error();
  auto [ec] = co_await tls_->async_handshake(asio::ssl::stream_base::client, use_task);
  if (!ec) co_return result<>{};
  if (const auto why = tls_distrust(*tls_))
    co_return fail(errc::unreachable, "{}: its certificate is not trusted: {}", origin_, *why);
  co_return lost("TLS handshake", ec);
}

template <class Stream>
task<result<answer>> connection::exchange(Stream& stream, const url& what, const get_limits& limits,
                                          const std::function<void()>& heard) {
  reusable_ = false;
  const auto request = request_for(what);
  auto [wrote, n] = co_await beast_http::async_write(stream, request, use_task);
  if (wrote) co_return fail(errc::closed, "{}: sending: {}", origin_, wrote.message());
  // The parser wants the whole head in the buffer.
  boost::beast::flat_buffer buffer(limits.head + read_ahead);
  answer_parser parser;
  parser.get().body().limits = &limits;
  parser.header_limit(static_cast<std::uint32_t>(limits.head));
  parser.body_limit(limits.body);
  const auto ec = co_await read_whole(stream, buffer, parser, heard);
  if (parser.get().body().refused()) co_return fail(errc::full, "{}: no room for more of its answer", origin_);
  if (ec && !parser.got_some()) co_return fail(errc::closed, "{}: no answer: {}", origin_, ec.message());
  if (ec) co_return lost("reading the answer", ec);
  if (parser.get().result_int() < 200)
    co_return fail(errc::unreachable, "{}: answered {} to a GET", origin_, parser.get().result_int());
  reusable_ = parser.keep_alive() && buffer.size() == 0;
  co_return answer_in(parser);
}

task<result<answer>> connection::ask(const url& what, const get_limits& limits, const std::function<void()>& heard) {
  if (tls_) co_return co_await exchange(*tls_, what, limits, heard);
  co_return co_await exchange(socket_, what, limits, heard);
}

bool connection::reusable() const noexcept {
  boost::system::error_code ec;
  return reusable_ && socket_.available(ec) == 0 && !ec;
}

void connection::drop() noexcept {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace recordkv::http
