#include "recordkv/nats/greeting.hpp"

#include "address.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/parse_number.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <tuple>

namespace recordkv::nats {
namespace {

using asio::ip::tcp;
using version = std::array<int, 3>;

version parse_version(std::string_view s) {
  version v{};
  for (auto& part : v) {
    part = take_number<int>(s).value_or(0);
    if (!s.empty()) s.remove_prefix(1);
  }
  return v;
}

constexpr std::size_t max_addresses = 32;

// Shared with handlers that may still be queued after the coroutine has ended.
struct exchange {
  explicit exchange(const asio::any_io_executor& ex) : resolver(ex), socket(ex), timer(ex) {}
  void end() {
    over = true;
    boost::system::error_code ignored;
    resolver.cancel();
    socket.close(ignored);
    for (auto& s : dialling) s.close(ignored);
    settled.notify();
  }
  tcp::resolver resolver;
  std::deque<tcp::socket> dialling;
  tcp::socket socket;
  asio::steady_timer timer;
  boost::system::error_code why = asio::error::timed_out;
  std::size_t missing = 0;
  bool connected = false, over = false;
  event settled;
};

void connected_one(const std::shared_ptr<exchange>& x, std::size_t i, boost::system::error_code ec) {
  if (x->over || x->connected) return;
  --x->missing;
  if (ec) x->why = ec;
  if (!ec) {
    x->connected = true;
    x->socket = std::move(x->dialling[i]);
    boost::system::error_code ignored;
    for (auto& s : x->dialling) s.close(ignored);
  }
  x->settled.notify();
}

// Connects to all addresses of a name at once: an address that drops packets must not use up the time of the others.
void dial_all(const std::shared_ptr<exchange>& x, const tcp::resolver::results_type& hosts) {
  x->missing = std::min<std::size_t>(hosts.size(), max_addresses);
  for (std::size_t i = 0; i < x->missing; ++i) x->dialling.emplace_back(x->timer.get_executor());
  std::size_t i = 0;
  for (auto h = hosts.begin(); i < x->dialling.size(); ++h, ++i)
    x->dialling[i].async_connect(h->endpoint(), [x, i](boost::system::error_code ec) { connected_one(x, i, ec); });
}

task<result<std::string>> info_line(endpoint at, bool tls, std::chrono::milliseconds limit) {
  const auto x = std::make_shared<exchange>(co_await asio::this_coro::executor);
  x->timer.expires_after(limit);
  x->timer.async_wait([x](boost::system::error_code ec) {
    if (!ec) x->end();
  });
  auto [resolve_error, hosts] = co_await x->resolver.async_resolve(at.host, at.port, use_task);
  if (resolve_error) {
    x->timer.cancel();
    const auto reason = x->over ? "its name was not resolved in time" : resolve_error.message();
    co_return fail(errc::unreachable, "{}: {}", at.host, reason);
  }
  dial_all(x, hosts);
  while (x->missing > 0 && !x->connected && !x->over) co_await x->settled.wait();
  if (!x->connected) {
    x->timer.cancel();
    const auto reason = x->over ? "no answer in time" : x->why.message();
    co_return fail(errc::unreachable, "{}:{}: {}", at.host, at.port, reason);
  }
  std::string line;
  auto [read_error, n] =
      co_await asio::async_read_until(x->socket, asio::dynamic_buffer(line, 64 * 1024), "\r\n", use_task);
  x->timer.cancel();
  if (read_error && line.empty() && tls)
    co_return fail(
        errc::unreachable,
        "{}:{} says nothing before TLS, and recordkv's NATS library waits for its greeting; where that server "
        "has handshake_first: true, write handshake_first: \"auto\"",
        at.host, at.port);
  if (read_error) co_return fail(errc::unreachable, "{}:{} does not greet like a NATS server", at.host, at.port);
  line.resize(n);
  co_return line;
}

result<greeting> parse(std::string_view line) {
  static constexpr std::string_view word = "INFO ";
  if (!line.starts_with(word)) return fail(errc::unreachable, "that is not a NATS server");
  boost::system::error_code ec;
  const auto v = boost::json::parse(line.substr(word.size(), line.rfind('}') + 1 - word.size()), ec);
  if (ec || !v.is_object()) return fail(errc::unreachable, "its INFO line is not JSON");
  const auto& o = v.get_object();
  greeting g;
  g.version = text_field(o, "version");
  g.server_id = text_field(o, "server_id");
  g.domain = text_field(o, "domain");
  g.jetstream = flag_field(o, "jetstream");
  g.auth_required = flag_field(o, "auth_required");
  g.tls_required = flag_field(o, "tls_required");
  g.tls_verify = flag_field(o, "tls_verify");
  g.max_payload = unsigned_field(o, "max_payload");
  return g;
}

}  // namespace

task<result<greeting>> greet(std::string urls, std::chrono::milliseconds limit) {
  std::string reasons;
  const bool tls = asks_for_tls(urls);
  for (const auto& url : split_urls(urls)) {
    auto line = co_await info_line(endpoint_of(url), tls, limit);
    if (line) {
      auto g = parse(*line);
      if (g) co_return g;
      reasons += g.error().text + "; ";
    } else {
      reasons += line.error().text + "; ";
    }
  }
  if (reasons.size() > 2) reasons.resize(reasons.size() - 2);
  co_return fail(errc::unreachable, "no NATS server answers ({}); start nats-server -js, or set nats.url", reasons);
}

result<void> accept(const greeting& g, std::string_view urls) {
  const auto v = parse_version(g.version);
  if (v < version{2, 10, 0})
    return fail(errc::unsupported, "the NATS server at {} is version {}; recordkv needs 2.10 or newer", urls,
                g.version);
  const bool hides =
      (v >= version{2, 12, 7} && v <= version{2, 12, 9}) || (v >= version{2, 14, 0} && v <= version{2, 14, 1});
  if (hides)
    return fail(errc::unsupported,
                "the NATS server at {} is version {}, which can hide messages of a one-per-subject stream after a "
                "restart; use 2.12.10, 2.14.2 or newer",
                urls, g.version);
  return {};
}

error no_jetstream(std::string_view urls) {
  return fail(errc::unsupported,
              "the NATS server at {} runs without JetStream; start it with -js, or add jetstream {{}} to its "
              "configuration; if it is a leaf node, set nats.domain to the JetStream domain of its hub",
              urls);
}

}  // namespace recordkv::nats
