#include "postgres/address.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>

namespace recordkv::view::postgres {
namespace {

constexpr std::size_t most_addresses = 32;

std::vector<std::string> parts(std::string_view list) {
  std::vector<std::string> out;
  for (;;) {
    const auto comma = list.find(',');
    out.emplace_back(list.substr(0, comma));
    if (comma == list.npos) return out;
    list.remove_prefix(comma + 1);
  }
}

void append(std::string& list, std::string_view one, bool first) {
  if (!first) list += ',';
  list += one;
}

}  // namespace

void address::take(std::string_view key, std::string_view text) {
  if (key == "host") host = text;
  if (key == "hostaddr") hostaddr = text;
  if (key == "port") port = text;
}

std::vector<std::pair<const char*, const std::string*>> address::overrides() const {
  std::vector<std::pair<const char*, const std::string*>> out;
  if (!host.empty()) out.emplace_back("host", &host);
  if (!hostaddr.empty()) out.emplace_back("hostaddr", &hostaddr);
  if (!port.empty()) out.emplace_back("port", &port);
  return out;
}

task<result<address>> resolved(address a) {
  const auto hosts = parts(a.host);
  const auto is_socket = [](const std::string& h) { return h.empty() || h.front() == '/' || h.front() == '@'; };
  if (!a.hostaddr.empty() || std::ranges::any_of(hosts, is_socket)) co_return a;
  const auto ports = parts(a.port);
  if (ports.size() != 1 && ports.size() != hosts.size()) co_return a;  // libpq says what is wrong with it
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  address out;
  std::string why;
  std::size_t count = 0;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    auto [ec, found] = co_await resolver.async_resolve(hosts[i], "", use_task);
    if (ec) why += fmt::format("{}{} is not found: {}", why.empty() ? "" : ", ", hosts[i], ec.message());
    if (ec) continue;
    for (const auto& one : found) {
      if (count == most_addresses) break;
      append(out.host, hosts[i], count == 0);
      append(out.hostaddr, one.endpoint().address().to_string(), count == 0);
      append(out.port, ports.size() == 1 ? ports[0] : ports[i], count == 0);
      ++count;
    }
  }
  if (count == 0) co_return fail(errc::storage, "{}; check the host in index.database", why);
  co_return out;
}

}  // namespace recordkv::view::postgres
