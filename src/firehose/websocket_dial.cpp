// How a connection comes about, and the bound on every wait.
#include "tls.hpp"
#include "upgrade.hpp"
#include "websocket_impl.hpp"

#include <algorithm>

namespace recordkv::firehose {

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
  // Not awaited directly: the system's look-up cannot be broken off, and close() must not wait for it.
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
    // An address that swallows packets must not use up the time of those behind it.
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
  auto known = tls_authorities(spec.tls_ca);
  if (!known) co_return known.error();
  authorities.emplace(std::move(*known));
  tls.emplace(socket, *authorities);
  if (auto ok = tls_expect_host(*tls, spec.url.host); !ok) co_return ok.error();
  auto [ec] = co_await tls->async_handshake(asio::ssl::stream_base::client, use_task);
  if (!ec) co_return result<>{};
  if (auto why = tls_distrust(*tls); why && !closed && !timed_out) {
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

}  // namespace recordkv::firehose
