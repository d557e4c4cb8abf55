// What is heard and said on a connection that stands.
#include "websocket_impl.hpp"

#include <boost/asio/write.hpp>

#include <algorithm>

namespace recordkv::firehose {
namespace {

constexpr std::size_t batch_messages = 512;
constexpr std::size_t batch_bytes = 4 * 1024 * 1024;
constexpr std::size_t max_waiting_answers = 64 * 1024;
constexpr std::chrono::steady_clock::duration max_silence = std::chrono::seconds(30);

}  // namespace

// --- listening ---

task<result<>> websocket::impl::read_some() {
  // What is left is the beginning of a frame's head at most.
  std::ranges::copy(unread, buffer.begin());
  const std::size_t kept = unread.size();
  // Silence counts from here: while nobody called read(), it was ours.
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
    // Only so many answers wait for a server that does not read; it counts the last one (RFC 6455 §5.5.3).
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

// --- speaking ---

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
    if (!ec) self->write_on();  // else the reader learns it
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

void websocket::pass_over() { impl_->cutter.pass_over(); }

void websocket::send_text(std::string_view text) { impl_->send(1, text); }

void websocket::close() noexcept {
  impl& self = *impl_;
  if (self.closed) return;
  // Asio tries a write at once, so this leaves if there is room for it; nobody waits for the answer.
  if (!self.broken && !self.writing) self.send(8, "\x03\xe8");
  self.closed = true;
  self.timer.cancel();
  self.drop();
}

}  // namespace recordkv::firehose
