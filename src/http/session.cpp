#include "session.hpp"

#include "recordkv/core/log.hpp"
#include "table.hpp"
#include "target.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <array>

namespace recordkv::http {

namespace beast = boost::beast;
using namespace std::chrono_literals;
using beast::http::field;
using tcp = asio::ip::tcp;

namespace {

constexpr std::size_t read_size = 4096;
constexpr std::size_t max_drained = 256 * 1024;
constexpr auto drain_time = 1000ms;

}  // namespace

session::session(tcp::socket socket, const std::vector<route>& routes, meters& counters, const limits& bounds)
    : socket_(std::move(socket)),
      routes_(routes),
      counters_(counters),
      bounds_(bounds),
      buffer_(std::max(bounds.header_bytes, read_size)),
      deadline_(socket_.get_executor()) {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
}

void session::end(std::string_view reason) noexcept {
  if (ended_) return;
  ended_ = true;
  counters_.add("http_closed", reason);
  deadline_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

std::optional<session::clock::time_point> session::idle_since() const {
  if (phase_ == phase::idle || phase_ == phase::leaving) return since_;
  return {};
}

bool session::has_input() const {
  error_code ec;
  return phase_ == phase::idle && socket_.available(ec) > 0;
}

void session::enter(phase p, std::chrono::milliseconds limit) {
  phase_ = p;
  since_ = clock::now();
  bound(limit);
}

void session::bound(std::chrono::milliseconds limit) {
  late_ = false;
  deadline_.expires_after(limit);
  // A handler that was already queued when the deadline was moved belongs to an earlier turn.
  deadline_.async_wait([self = shared_from_this(), turn = ++turn_](error_code ec) {
    if (!ec && turn == self->turn_ && !self->ended_) self->ring();
  });
}

// While an answer is still possible only the wait ends, and the coroutine checks `late_`.
void session::ring() {
  late_ = true;
  error_code ignored;
  if (phase_ != phase::answering && phase_ != phase::writing) {
    socket_.cancel(ignored);
    return;
  }
  counters_.add("http_refused", phase_ == phase::answering ? "late" : "unread");
  end("refused");
}

task<> session::run() {
  while (co_await await_request()) {
    if (auto why = co_await read()) {
      if (!ended_) co_await refuse(std::move(*why));
      break;
    }
    if (!co_await answer()) break;
  }
  end("done");
  deadline_.cancel();
}

task<bool> session::await_request() {
  if (ended_) co_return false;
  if (buffer_.size() > 0) co_return true;
  buffer_.shrink_to_fit();
  enter(phase::idle, bounds_.idle_time);
  // A read, not a wait for readability: such a wait may end without input, and would start the time of a request.
  auto [ec, n] = co_await socket_.async_read_some(buffer_.prepare(read_size), use_task);
  buffer_.commit(n);
  if (!ec) co_return !ended_;
  end(late_ ? "idle" : ec == asio::error::eof ? "done" : "gone");
  co_return false;
}

// Gives the input to the parser. The bytes of a header are also counted here, because Beast's limit starts again with
// each piece of a header.
std::optional<session::refusal> session::parse() {
  namespace http = beast::http;
  const bool in_header = !parser_->is_header_done();
  error_code ec;
  const std::size_t used = parser_->put(buffer_.data(), ec);
  buffer_.consume(used);
  if (in_header) head_bytes_ += used;
  if (ec == http::error::need_more) ec = {};
  const bool over = !ec && !parser_->is_header_done() && head_bytes_ + buffer_.size() >= bounds_.header_bytes;
  if (over || ec == http::error::header_limit)
    return refusal{431, "header_too_large", fmt::format("A header has at most {} bytes.", bounds_.header_bytes)};
  if (ec == http::error::body_limit)
    return refusal{413, "body_too_large", fmt::format("A body has at most {} bytes.", bounds_.body_bytes)};
  if (ec) return refusal{400, "malformed", fmt::format("This is not HTTP/1.1: {}.", ec.message())};
  if (!parser_->is_done() && buffer_.size() == buffer_.max_size())
    return refusal{400, "malformed", "This is not HTTP/1.1: the head of a chunk has no end."};
  return {};
}

task<std::optional<session::refusal>> session::read() {
  enter(phase::reading, bounds_.request_time);
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(static_cast<std::uint32_t>(bounds_.header_bytes));
  parser_->body_limit(bounds_.body_bytes);
  head_bytes_ = 0;
  for (bool asked = false; !parser_->is_done();) {
    if (buffer_.size() > 0)
      if (auto why = parse()) co_return why;
    if (parser_->is_done()) break;
    if (parser_->is_header_done() && !asked) {
      asked = true;
      co_await send_continue();
    }
    if (late_)
      co_return refusal{408, "slow", fmt::format("A request takes at most {} ms.", bounds_.request_time.count())};
    const std::size_t room = std::min(read_size, buffer_.max_size() - buffer_.size());
    auto [ec, n] = co_await socket_.async_read_some(buffer_.prepare(room), use_task);
    buffer_.commit(n);
    if (!ec || late_) continue;
    end("gone");
    co_return refusal{};
  }
  co_return std::nullopt;
}

// RFC 9110 §10.1.1: some clients wait for this before they send a body.
task<> session::send_continue() {
  if (!beast::iequals(parser_->get()[field::expect], "100-continue") || buffer_.size() > 0) co_return;
  co_await asio::async_write(socket_, asio::buffer("HTTP/1.1 100 Continue\r\n\r\n", 25), use_task);
}

task<bool> session::answer() {
  auto message = parser_->release();
  parser_.reset();
  const bool head = message.method() == beast::http::verb::head;
  auto wanted = parse_target({message.target().data(), message.target().size()});
  if (!wanted || (message.version() >= 11 && message.find(field::host) == message.end())) {
    co_await refuse({400, "malformed", wanted ? "The request names no host." : "The request's target is malformed."});
    co_return false;
  }
  enter(phase::answering, bounds_.answer_time);
  const auto method = message.method_string();
  const choice which = choose(routes_, {method.data(), method.size()}, wanted->path);
  if (!which.chosen) co_return co_await write(which.refused, which.allow, head, message.keep_alive());
  const request asked{.method = which.chosen->method,
                      .path = std::move(wanted->path),
                      .query = std::move(wanted->query),
                      .body = std::move(message.body()),
                      .authorization = std::string(message[field::authorization])};
  response said = co_await which.chosen->answer(asked);
  co_return co_await write(std::move(said), {}, head, message.keep_alive());
}

task<> session::refuse(refusal why) {
  counters_.add("http_refused", why.reason);
  log::debug("http", "refused ({}): {}", why.reason, why.words);
  parser_.reset();
  enter(phase::answering, bounds_.answer_time);
  co_await write({.status = why.status, .body = why.words + "\n"}, {}, false, false);
  end("refused");
}

task<bool> session::write(response what, std::string_view allow, bool only_head, bool keep) {
  if (ended_) co_return false;
  phase_ = phase::writing;
  counters_.add("http_requests", fmt::format("{}xx", what.status / 100));
  const std::string head = head_of(what, allow, keep);
  const std::array<asio::const_buffer, 2> out{asio::buffer(head),
                                              only_head ? asio::const_buffer() : asio::buffer(what.body)};
  auto [ec, n] = co_await asio::async_write(socket_, out, use_task);
  if (ec) end("gone");
  if (!ec && !keep) co_await drain();
  co_return !ec && keep;
}

// A client that is still sending must be able to read its answer. Closing with unread bytes would destroy the answer.
task<> session::drain() {
  if (ended_) co_return;
  error_code ec;
  socket_.shutdown(tcp::socket::shutdown_send, ec);
  enter(phase::leaving, std::min<std::chrono::milliseconds>(drain_time, bounds_.request_time));
  buffer_.clear();
  std::size_t n = 0;
  for (std::size_t left = max_drained; !ec && !late_ && left > 0; left -= std::min(left, n))
    std::tie(ec, n) = co_await socket_.async_read_some(buffer_.prepare(read_size), use_task);
}

}  // namespace recordkv::http
