#include "wire_jetstream.hpp"

#include "filter.hpp"
#include "truth.hpp"
#include "ws_frames.hpp"

#include "recordkv/core/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <charconv>
#include <sstream>

namespace recordkv::sim {

namespace http = boost::beast::http;
using asio::ip::tcp;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t write_size = 256 * 1024;  // bytes a write; more is no faster, less costs calls
constexpr std::uint64_t scan_size = 20'000;     // events looked at between two looks at the socket

}  // namespace

struct jetstream_server::session {
  explicit session(tcp::socket s) : socket(std::move(s)) {}

  tcp::socket socket;
  sim::filter wanted;
  std::uint64_t position = 0;  // the next event to look at
  bool silent = false;         // requireHello: nothing before the first options
  bool ended = false;          // nothing after what stands in `control`
  std::string control;         // frames that answer the client
  event gone;
  client_input input;
  std::string chosen;  // a filtered write

  result<> open(const query& q, const feed& f);
  void take(const client_message& m);
  void refuse(std::string_view reason);
  std::string_view next(const feed& f, std::shared_ptr<const block>& hold);
};

// Cursors are inclusive; one that is too old means the oldest, one in the future means now.
result<> jetstream_server::session::open(const query& q, const feed& f) {
  auto conditions = sim::filter::from(q);
  if (conditions.has_error()) return conditions.error();
  wanted = std::move(*conditions);
  silent = value_of(q, "requireHello") == "true";
  if (value_of(q, "compress") == "true") return fail(errc::unsupported, "this server does not compress");
  position = f.emitted();
  const std::string_view cursor = value_of(q, "cursor");
  if (cursor.empty()) return {};
  std::uint64_t time_us = 0;
  if (std::from_chars(cursor.data(), cursor.data() + cursor.size(), time_us).ptr != cursor.data() + cursor.size())
    return fail(errc::malformed, "cursor wants unix microseconds, got {}", cursor);
  position = std::min(f.past().find(time_us), f.emitted());
  return {};
}

void jetstream_server::session::take(const client_message& m) {
  switch (m.op) {
    case opcode::ping: control += control_frame(opcode::pong, m.payload); return;
    case opcode::pong: return;
    case opcode::close:
      control += control_frame(opcode::close, m.payload);
      ended = true;
      return gone.notify();
    case opcode::text: break;
    default: return refuse("only text is understood");
  }
  auto conditions = sim::filter::from_message(m.payload);
  if (conditions.has_error()) return refuse(conditions.error().text);
  wanted = std::move(*conditions);
  silent = false;
}

void jetstream_server::session::refuse(std::string_view reason) {
  control += close_frame(1008, reason);
  ended = true;
  input = {};  // what is left of it means nothing
  gone.notify();
}

// The bytes to write next, empty when there are none; moves the position past them.
std::string_view jetstream_server::session::next(const feed& f, std::shared_ptr<const block>& hold) {
  chosen.clear();
  for (std::uint64_t looked = 0; position < f.emitted() && looked < scan_size && chosen.size() < write_size;) {
    hold = f.past().at(position);
    const std::size_t from = position - hold->first;
    const std::size_t to = std::min<std::uint64_t>(hold->count(), f.emitted() - hold->first);
    std::size_t i = from;
    if (wanted.everything()) {
      while (i < to && (i == from || hold->ends[i] - hold->begin_of(from) <= write_size)) ++i;
      position += i - from;
      return {hold->bytes.get() + hold->begin_of(from), hold->ends[i - 1] - hold->begin_of(from)};
    }
    for (; i < to && chosen.size() < write_size; ++i) {
      const std::string_view frame = hold->frame(i);
      const std::size_t head = frame.size() < 128 ? 2 : frame[1] == 126 ? 4 : 10;
      if (wanted.wants(hold->tags[i], frame.substr(head))) chosen += frame;
    }
    looked += i - from;
    position += i - from;
  }
  return chosen;
}

jetstream_server::jetstream_server(asio::io_context& io, feed& f, unsigned partitions, std::function<void()> complete)
    : feed_(f), partitions_(partitions), complete_(std::move(complete)), acceptor_(io) {}

result<std::uint16_t> jetstream_server::listen(std::uint16_t port) {
  const tcp::endpoint where(asio::ip::address_v4::loopback(), port);
  boost::system::error_code ec;
  acceptor_.open(where.protocol(), ec);
  if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor_.bind(where, ec);
  if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return fail(errc::unreachable, "cannot listen on 127.0.0.1:{}: {}", port, ec.message());
  return acceptor_.local_endpoint().port();
}

task<> jetstream_server::accept() {
  for (;;) {
    auto [ec, socket] = co_await acceptor_.async_accept(use_task);
    if (ec) {
      log::error("simulator", "accept: {}", ec.message());
      co_return;
    }
    socket.set_option(tcp::no_delay(true), ec);
    asio::co_spawn(acceptor_.get_executor(), serve(std::move(socket)), asio::detached);
  }
}

task<> jetstream_server::serve(tcp::socket socket) {
  using namespace asio::experimental::awaitable_operators;
  session s(std::move(socket));
  boost::beast::flat_buffer buffer;
  http::request_parser<http::empty_body> parser;
  parser.header_limit(1 << 20);  // ten thousand wantedDids
  auto [ec, n] = co_await http::async_read(s.socket, buffer, parser, use_task);
  if (ec) co_return;
  const auto& request = parser.get();
  const std::string target(request.target());
  if (!target.starts_with("/subscribe") || request["Sec-WebSocket-Key"].empty()) {
    co_await serve_page(s, target);
    co_return;
  }

  const auto opened = s.open(parse_query(target), feed_);
  std::string answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
  answer.append("Sec-WebSocket-Accept: ").append(accept_key(request["Sec-WebSocket-Key"])).append("\r\n\r\n");
  if (opened.has_error())
    answer = fmt::format("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
                         opened.error().text.size(), opened.error().text);
  auto [failed, written] = co_await asio::async_write(s.socket, asio::buffer(answer), use_task);
  if (failed || opened.has_error()) co_return;
  s.input.feed({static_cast<const char*>(buffer.data().data()), buffer.size()});

  ++clients_;
  feed_.attend();
  try {
    co_await (stream_to(s) || listen_to(s));
  } catch (const std::exception& e) {
    log::warn("simulator", "client: {}", e.what());
  }
  --clients_;
}

std::string jetstream_server::page(std::string_view path) const {
  if (path == "/truth") {
    std::ostringstream out;
    truth_after(feed_.rules(), feed_.emitted(), partitions_).write(out, feed_.rules(), feed_.emitted());
    return std::move(out).str();
  }
  if (path != "/") return {};
  return fmt::format(R"({{"emitted":{},"total":{},"oldest":{},"seed":{},"clients":{}}})", feed_.emitted(),
                     feed_.total(), feed_.past().oldest(), feed_.rules().seed, clients_);
}

task<> jetstream_server::serve_page(session& s, std::string target) {
  const std::string body = page(target);
  std::string answer = fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                                   body.empty() ? "404 Not Found" : "200 OK",
                                   target == "/" ? "application/json" : "text/plain; charset=utf-8", body.size());
  answer += body;
  co_await asio::async_write(s.socket, asio::buffer(answer), use_task);
}

task<> jetstream_server::stream_to(session& s) {
  std::shared_ptr<const block> hold;
  for (;;) {
    if (s.position < feed_.past().oldest()) {
      log::warn("simulator", "a client fell out of the window and is sent away");
      s.control += close_frame(1008, "too far behind");
      s.ended = true;
    }
    if (!s.control.empty()) {
      const std::string frames = std::exchange(s.control, {});
      auto [ec, n] = co_await asio::async_write(s.socket, asio::buffer(frames), use_task);
      if (ec || s.ended) co_return;
    }
    const std::string_view bytes = s.silent ? std::string_view() : s.next(feed_, hold);
    if (!bytes.empty()) {
      auto [ec, n] = co_await asio::async_write(s.socket, asio::buffer(bytes), use_task);
      if (ec) co_return;
    } else if (s.silent || s.position == feed_.emitted()) {
      if (complete_ && s.position == feed_.total()) break;
      if (!s.silent) feed_.want_more();
      if (s.silent || s.position == feed_.emitted()) co_await feed_.more();
    } else {
      co_await asio::post(s.socket.get_executor(), use_task);  // a filter that matches little lets others have a turn
    }
  }
  const std::string farewell = close_frame(1000, "that was all");
  co_await asio::async_write(s.socket, asio::buffer(farewell), use_task);
  co_await s.gone.wait_for(2s);  // closing at once could take back what lies in the socket
  complete_();
}

task<> jetstream_server::listen_to(session& s) {
  char bytes[4096];
  for (;;) {
    auto message = s.input.next();
    if (message.has_error())
      s.refuse(message.error().text);
    else if (*message)
      s.take(**message);
    if (message.has_error() || *message) {
      feed_.nudge();
      continue;
    }
    auto [ec, n] = co_await s.socket.async_read_some(asio::buffer(bytes), use_task);
    if (ec) co_return;
    if (!s.ended) s.input.feed({bytes, n});
  }
}

}  // namespace recordkv::sim
