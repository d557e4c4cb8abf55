#include "postgres/reachable.hpp"

#include "recordkv/core/event.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <optional>
#include <ranges>

namespace recordkv::view::postgres {
namespace {

using asio::ip::tcp;
using clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds after_the_same_host{300}, after_another_host{3'000};

std::string usual_port() {
  const char* const set = std::getenv("PGPORT");
  return set ? set : "5432";
}

std::uint16_t port_of(const address& a) {
  const auto text = a.port.empty() ? usual_port() : a.port;
  std::uint16_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

enum class standing { silent, refuses, answers };

struct candidate {
  candidate(const asio::any_io_executor& ex, address what) : where(std::move(what)), socket(ex) {}
  bool same_host(const candidate& other) const {
    return where.host == other.where.host && where.port == other.where.port && !where.host.empty();
  }
  address where;
  tcp::socket socket;
  standing now = standing::silent;
  clock::time_point answered;
};

// Shared with handlers that may still be queued when the coroutine has ended.
struct race {
  std::vector<candidate> all;
  event settled;

  void settle(std::size_t i, boost::system::error_code ec) {
    all[i].now = ec ? standing::refuses : standing::answers;
    all[i].answered = clock::now();
    settled.notify();
  }

  /// How long this address is waited for.
  clock::time_point limit_of(const candidate& c, clock::time_point none_answers) const {
    auto out = none_answers;
    for (const auto& other : all)
      if (other.now == standing::answers)
        out = std::min(out, other.answered + (c.same_host(other) ? after_the_same_host : after_another_host));
    return out;
  }
};

void dial(const std::shared_ptr<race>& r, std::size_t i) {
  auto& c = r->all[i];
  boost::system::error_code ec;
  const auto to = asio::ip::make_address(c.where.hostaddr, ec);
  // A socket in the file system is not waited for. libpq reports what is not an address.
  if (ec) return r->settle(i, c.where.hostaddr.empty() ? boost::system::error_code() : ec);
  c.socket.async_connect(tcp::endpoint(to, port_of(c.where)), [r, i](boost::system::error_code failed) {
    if (r->all[i].now == standing::silent) r->settle(i, failed);
  });
}

}  // namespace

task<address> reachable(address a, std::chrono::milliseconds limit) {
  auto each = each_of(a);
  if (each.size() < 2 || a.hostaddr.empty()) co_return a;
  const auto executor = co_await asio::this_coro::executor;
  const auto r = std::make_shared<race>();
  r->all.reserve(each.size());
  for (auto& one : each) {
    if (one.port.empty() && !a.port.empty()) one.port = usual_port();  // an empty entry of the list of ports
    r->all.emplace_back(executor, std::move(one));
  }
  for (std::size_t i = 0; i < r->all.size(); ++i) dial(r, i);
  for (const auto none_answers = clock::now() + limit;;) {
    std::optional<clock::time_point> next;
    for (const auto& c : r->all)
      if (const auto until = r->limit_of(c, none_answers); c.now == standing::silent && until > clock::now())
        next = next ? std::min(*next, until) : until;
    if (!next) break;
    co_await r->settled.wait_for(*next - clock::now());
  }
  std::vector<address> kept;
  for (auto& c : r->all) {
    if (c.now != standing::silent) kept.push_back(c.where);
    boost::system::error_code ignored;
    c.socket.close(ignored);
  }
  const bool one_answers = std::ranges::any_of(r->all, [](const auto& c) { return c.now == standing::answers; });
  for (auto& c : r->all)
    if (c.now == standing::silent) c.now = standing::refuses;  // a result of its handler comes too late
  co_return one_answers ? all_of(kept) : a;
}

}  // namespace recordkv::view::postgres
