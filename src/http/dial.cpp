#include "dial.hpp"

#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"

#include <algorithm>
#include <optional>

namespace recordkv::http {
namespace {

using asio::ip::address;
using asio::ip::tcp;
using clock = std::chrono::steady_clock;

constexpr std::size_t max_tried = 6;
constexpr clock::duration head_start = std::chrono::milliseconds(250);

/// IPv6 first, then in turn, each family in the order of the system.
std::vector<address> in_turn(const std::vector<address>& all) {
  std::vector<address> v6, v4, out;
  for (const auto& a : all) (a.is_v6() ? v6 : v4).push_back(a);
  for (std::size_t i = 0; i < std::max(v6.size(), v4.size()); ++i) {
    if (i < v6.size()) out.push_back(v6[i]);
    if (i < v4.size()) out.push_back(v4[i]);
  }
  out.resize(std::min(out.size(), max_tried));
  return out;
}

class race {
 public:
  race(const asio::any_io_executor& loop, const std::vector<address>& to, std::uint16_t port)
      : start_(clock::now()), runners_(loop), port_(port) {
    for (const auto& a : to) {
      to_.emplace_back(a, port);
      sockets_.emplace_back(loop);
    }
  }

  task<result<tcp::socket>> run() {
    for (std::size_t i = 0; i < to_.size(); ++i) runners_.spawn(enter(i));
    co_await runners_.join();
    if (won_) co_return std::move(sockets_[*won_]);
    co_return fail(errc::unreachable, "connecting to port {}: {}", port_, last_.message());
  }

  void stop() {
    over_ = true;
    drop_all_but(to_.size());
  }

 private:
  /// Begins once all before it have failed, or have had their head start.
  task<> enter(std::size_t i) {
    const auto due = start_ + static_cast<int>(i) * head_start;
    while (!over_ && failed_ < i && clock::now() < due) co_await turned_.wait_for(due - clock::now());
    if (over_) co_return;
    auto [ec] = co_await sockets_[i].async_connect(to_[i], use_task);
    if (over_) co_return;
    if (ec) {
      ++failed_;
      last_ = ec;
      turned_.notify();
      co_return;
    }
    won_ = i;
    over_ = true;
    drop_all_but(i);
  }

  void drop_all_but(std::size_t kept) {
    boost::system::error_code ignored;
    for (std::size_t i = 0; i < sockets_.size(); ++i)
      if (i != kept) sockets_[i].close(ignored);
    turned_.notify();
  }

  clock::time_point start_;
  nursery runners_;
  std::uint16_t port_;
  std::vector<tcp::endpoint> to_;
  std::vector<tcp::socket> sockets_;
  event turned_;
  std::size_t failed_ = 0;
  bool over_ = false;
  std::optional<std::size_t> won_;
  boost::system::error_code last_ = asio::error::host_not_found;
};

}  // namespace

task<result<tcp::socket>> dial(asio::any_io_executor loop, std::vector<address> addresses, std::uint16_t port,
                               cut_off& ending) {
  race candidates(loop, in_turn(addresses), port);
  const cut_off::wait wait(ending, [&candidates] { candidates.stop(); });
  auto connected = co_await candidates.run();
  if (connected) {
    boost::system::error_code ignored;
    connected->set_option(tcp::no_delay(true), ignored);
  }
  co_return connected;
}

}  // namespace recordkv::http
