// One connection: dialling, then reading and writing. Over 300 lines, because both share one socket and one deadline.
#include "recordkv/firehose/websocket.hpp"

#include "recordkv/core/event.hpp"
#include "recordkv/http/tls.hpp"
#include "upgrade.hpp"
#include "ws_frames.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <random>

namespace recordkv::firehose {
namespace {

constexpr std::size_t batch_messages = 512;
constexpr std::size_t batch_bytes = 4 * 1024 * 1024;
constexpr std::size_t max_waiting_answers = 64 * 1024;
constexpr std::chrono::steady_clock::duration max_silence = std::chrono::seconds(30);

}  // namespace

// Outlives the websocket while a handler of its own is pending. The handlers touch nothing else.
struct websocket::impl : std::enable_shared_from_this<impl> {
  using clock = std::chrono::steady_clock;
  using tcp = asio::ip::tcp;
  using error_code = boost::system::error_code;
  static constexpr std::size_t read_ahead = 256 * 1024;

  impl(asio::any_io_executor e, websocket_spec s)
      : ex(e), spec(std::move(s)), resolver(e), socket(e), timer(e), cutter(spec.max_message), buffer(read_ahead) {}

  asio::any_io_executor ex;
  websocket_spec spec;
  tcp::resolver resolver;
  tcp::socket socket;
  std::optional<asio::ssl::context> authorities;
  std::optional<asio::ssl::stream<tcp::socket&>> tls;
  std::optional<std::chrono::seconds> retry_after;

  // One timer bounds every wait. It is not set anew for each read: when it fires early, ring() compares `dead_at` and
  // `ping_at` with the time and waits again.
  asio::steady_timer timer;
  clock::time_point dead_at = clock::time_point::max();
  clock::time_point ping_at = clock::time_point::max();
  clock::time_point armed_for = clock::time_point::max();
  bool timed_out = false;
  bool closed = false;
  bool upgraded = false;  // frames may be sent

  bool looked_up = false;
  error_code look_up_error;
  tcp::resolver::results_type endpoints;
  event woken;

  ws_cutter cutter;
  std::vector<char> buffer;
  std::string_view unread;  // in buffer
  std::optional<error> broken;

  std::string waiting;  // frames to send
  std::string sending;
  bool writing = false;
  std::mt19937 masks{std::random_device{}()};

  void bound(clock::duration limit, clock::duration silence = clock::duration::max());
  void arm();
  void ring();
  error lost(std::string_view during, const error_code& ec) const;
  void drop() noexcept;
  task<result<>> look_up();
  task<result<>> reach();
  task<result<>> secure();
  task<result<>> read_some();
  result<> cut(std::vector<ws_message>& out);
  result<> control(ws_item& item);
  void send(unsigned opcode, std::string_view payload);
  void write_on();
};

// --- time ---

void websocket::impl::bound(clock::duration limit, clock::duration silence) {
  const auto now = clock::now();
  dead_at = now + limit;
  ping_at = silence == clock::duration::max() ? clock::time_point::max() : now + silence;
  if (std::min(dead_at, ping_at) < armed_for) arm();
}

void websocket::impl::arm() {
  armed_for = std::min(dead_at, ping_at);
  if (armed_for == clock::time_point::max()) return;
  timer.expires_at(armed_for);
  timer.async_wait([weak = weak_from_this()](error_code ec) {
    if (auto self = weak.lock(); self && !ec && !self->closed) self->ring();
  });
}

void websocket::impl::ring() {
  const auto now = clock::now();
  if (now >= dead_at) {
    timed_out = true;
    dead_at = ping_at = armed_for = clock::time_point::max();
    drop();
    return;
  }
  if (now >= ping_at) {
    ping_at = clock::time_point::max();
    send(9, "still there?");
  }
  arm();
}

error websocket::impl::lost(std::string_view during, const error_code& ec) const {
  if (closed) return fail(errc::closed, "closed");
  if (timed_out) return fail(errc::timed_out, "{}: no answer in time", during);
  if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated)
    return fail(errc::closed, "{}: the server closed the connection", during);
  return fail(errc::unreachable, "{}: {}", during, ec.message());
}

void websocket::impl::drop() noexcept {
  error_code ignored;
  resolver.cancel();
  socket.close(ignored);
  woken.notify();
}

// --- dialling ---

task<result<>> websocket::impl::look_up() {
  // Not awaited directly: the system's look-up cannot be cancelled, and close() must not wait for it.
  resolver.async_resolve(spec.url.host, spec.url.port,
                         [self = shared_from_this()](error_code ec, tcp::resolver::results_type found) {
                           self->looked_up = true;
                           self->look_up_error = ec;
                           self->endpoints = std::move(found);
                           self->woken.notify();
                         });
  while (!looked_up && !closed && !timed_out) co_await woken.wait();
  if (!looked_up || closed || look_up_error) co_return lost(fmt::format("looking up {}", spec.url.host), look_up_error);
  co_return result<>{};
}

task<result<>> websocket::impl::reach() {
  bound(spec.handshake);
  const auto until = clock::now() + spec.handshake;
  if (auto ok = co_await look_up(); !ok) co_return ok.error();
  auto left = std::distance(endpoints.begin(), endpoints.end());
  error_code ec = asio::error::host_not_found;
  for (const auto& entry : endpoints) {
    if (closed) break;
    // An address that drops packets must not use up the time of the addresses behind it.
    bound((until - clock::now()) / left--);
    timed_out = false;
    error_code ignored;
    socket.close(ignored);
    const tcp::endpoint to = entry.endpoint();
    std::tie(ec) = co_await socket.async_connect(to, use_task);
    if (!ec && !closed && !timed_out) {
      socket.set_option(tcp::no_delay(true), ignored);
      co_return result<>{};
    }
  }
  co_return lost("connecting", ec);
}

task<result<>> websocket::impl::secure() {
  auto known = http::tls_authorities(spec.tls_ca);
  if (!known && spec.tls_ca.empty()) co_return known.error();
  if (!known) co_return fail(errc::bad_config, "source.tls_ca: {}", known.error().text);
  authorities.emplace(std::move(*known));
  tls.emplace(socket, *authorities);
  if (auto ok = http::tls_expect_host(*tls, spec.url.host); !ok) co_return ok.error();
  auto [ec] = co_await tls->async_handshake(asio::ssl::stream_base::client, use_task);
  if (!ec) co_return result<>{};
  if (auto why = http::tls_distrust(*tls); why && !closed && !timed_out) {
    co_return fail(errc::refused, "the certificate of {} is not trusted: {} (source.tls_ca names further authorities)",
                   spec.url.host, *why);
  }
  co_return lost("TLS handshake", ec);
}

task<result<>> websocket::connect() {
  impl& self = *impl_;
  if (auto ok = co_await self.reach(); !ok) co_return ok.error();
  self.bound(self.spec.handshake);
  if (self.spec.url.tls)
    if (auto ok = co_await self.secure(); !ok) co_return ok.error();
  auto answer = co_await upgrade(self.socket, self.tls ? &*self.tls : nullptr, self.spec.url);
  self.retry_after = answer.retry_after;
  self.dead_at = impl::clock::time_point::max();
  if (!answer.accepted) {
    const bool cut_off = self.closed || self.timed_out;
    co_return cut_off ? self.lost("WebSocket upgrade", {}) : answer.accepted.error();
  }
  std::ranges::copy(answer.ahead, self.buffer.begin());
  self.unread = std::string_view(self.buffer.data(), answer.ahead.size());
  self.upgraded = true;
  co_return result<>{};
}

// --- reading ---

task<result<>> websocket::impl::read_some() {
  // At most the beginning of a frame's head is left.
  std::ranges::copy(unread, buffer.begin());
  const std::size_t kept = unread.size();
  // Silence counts from here. Before this call the socket was not read, so the server may not have been silent.
  bound(spec.idle, std::min<clock::duration>(max_silence, spec.idle / 2));
  const auto room = asio::buffer(buffer.data() + kept, buffer.size() - kept);
  error_code ec;
  std::size_t n = 0;
  if (tls)
    std::tie(ec, n) = co_await tls->async_read_some(room, use_task);
  else
    std::tie(ec, n) = co_await socket.async_read_some(room, use_task);
  unread = std::string_view(buffer.data(), kept + n);
  dead_at = ping_at = clock::time_point::max();
  if (closed || ec) co_return lost("reading", ec);
  co_return result<>{};
}

result<> websocket::impl::control(ws_item& item) {
  if (item.what == ws_item::type::ping) {
    // The number of waiting pongs is bounded, for a server that does not read. An answer to the last ping is enough
    // (RFC 6455 §5.5.3).
    if (waiting.size() < max_waiting_answers) send(10, item.bytes);
  } else if (item.what == ws_item::type::close) {
    if (item.bytes.size() < 2) return fail(errc::closed, "the server closed the stream");
    send(8, std::string_view(item.bytes).substr(0, 2));
    const int code = static_cast<unsigned char>(item.bytes[0]) << 8 | static_cast<unsigned char>(item.bytes[1]);
    std::string reason = item.bytes.substr(2);
    std::ranges::replace_if(reason, [](char c) { return c < ' ' || c >= 0x7f; }, '?');
    return fail(errc::closed, "the server closed the stream: {} {}", code, reason);
  }
  return {};
}

result<> websocket::impl::cut(std::vector<ws_message>& out) {
  ws_item item;
  std::size_t bytes = 0;
  while (out.size() < batch_messages && bytes < batch_bytes) {
    const auto whole = cutter.cut(unread, item);
    if (!whole) return whole.error();
    if (!*whole) return {};
    if (item.what >= ws_item::type::ping) {
      if (auto ok = control(item); !ok) return ok;
      continue;
    }
    bytes += item.bytes.size();
    out.push_back({static_cast<ws_message::type>(item.what), std::move(item.bytes)});
  }
  return {};
}

task<result<>> websocket::read(std::vector<ws_message>& out) {
  impl& self = *impl_;
  while (true) {
    if (self.closed) co_return fail(errc::closed, "closed");
    if (self.broken) co_return *self.broken;
    const std::size_t before = out.size();
    auto ok = self.cut(out);
    if (!ok && ok.error().code != errc::too_large) self.broken = ok.error();
    if (out.size() > before) co_return result<>{};
    if (!ok) co_return ok.error();
    if (ok = co_await self.read_some(); !ok) self.broken = ok.error();
  }
}

// --- writing ---

void websocket::impl::send(unsigned opcode, std::string_view payload) {
  if (closed || !upgraded || !socket.is_open()) return;
  waiting += client_frame(opcode, payload, static_cast<std::uint32_t>(masks()));
  if (!writing) write_on();
}

void websocket::impl::write_on() {
  if (waiting.empty()) return;
  writing = true;
  sending = std::exchange(waiting, {});
  auto done = [self = shared_from_this()](error_code ec, std::size_t) {
    self->writing = false;
    if (!ec) self->write_on();  // an error reaches the reader
  };
  if (tls)
    asio::async_write(*tls, asio::buffer(sending), std::move(done));
  else
    asio::async_write(socket, asio::buffer(sending), std::move(done));
}

websocket::websocket(asio::any_io_executor ex, websocket_spec spec)
    : impl_(std::make_shared<impl>(std::move(ex), std::move(spec))) {}

websocket::~websocket() { close(); }

std::optional<std::chrono::seconds> websocket::retry_after() const { return impl_->retry_after; }

void websocket::skip_message() { impl_->cutter.skip_message(); }

void websocket::send_text(std::string_view text) { impl_->send(1, text); }

void websocket::close() noexcept {
  impl& self = *impl_;
  if (self.closed) return;
  // Asio tries a write at once, so the close frame leaves if there is room for it. The answer is not awaited.
  if (!self.broken && !self.writing) self.send(8, "\x03\xe8");
  self.closed = true;
  self.timer.cancel();
  self.drop();
}

}  // namespace recordkv::firehose
