#include "postgres/address.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>

namespace recordkv::view::postgres {
namespace {

constexpr std::size_t max_addresses = 32;

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
  if (!a.hostaddr.empty() || std::ranges::all_of(hosts, is_socket)) co_return a;
  const auto ports = parts(a.port);
  if (ports.size() != 1 && ports.size() != hosts.size()) co_return a;  // libpq reports the mistake
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  address out;
  std::string why;
  std::size_t count = 0;
  const auto take = [&](std::size_t i, std::string_view addr) {
    if (count == max_addresses) return;
    append(out.host, hosts[i], count == 0);
    append(out.hostaddr, addr, count == 0);
    append(out.port, ports.size() == 1 ? ports[0] : ports[i], count == 0);
    ++count;
  };
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    if (is_socket(hosts[i])) take(i, "");  // libpq uses the host if there is no address
    if (is_socket(hosts[i])) continue;
    auto [ec, found] = co_await resolver.async_resolve(hosts[i], "", use_task);
    if (ec) why += fmt::format("{}{} is not found: {}", why.empty() ? "" : ", ", hosts[i], ec.message());
    if (ec) continue;
    for (const auto& one : found) take(i, one.endpoint().address().to_string());
  }
  if (count == 0) co_return fail(errc::storage, "{}; check the host in index.database", why);
  co_return out;
}

std::vector<address> each_of(const address& a) {
  const auto hosts = parts(a.host), addresses = parts(a.hostaddr), ports = parts(a.port);
  const auto n = std::max(hosts.size(), addresses.size());
  const auto fits = [n](const std::vector<std::string>& list) {
    return list.size() == n || (list.size() == 1 && list[0].empty());
  };
  if (!fits(hosts) || !fits(addresses) || (ports.size() != n && ports.size() != 1)) return {};
  std::vector<address> out;
  out.reserve(n);
  for (std::size_t i = 0; i < n; ++i)
    out.push_back({.host = hosts.size() == n ? hosts[i] : "",
                   .hostaddr = addresses.size() == n ? addresses[i] : "",
                   .port = ports.size() == n ? ports[i] : ports[0]});
  return out;
}

address all_of(const std::vector<address>& list) {
  address out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    append(out.host, list[i].host, i == 0);
    append(out.hostaddr, list[i].hostaddr, i == 0);
    append(out.port, list[i].port, i == 0);
  }
  const auto only_commas = [](const std::string& s) { return s.find_first_not_of(',') == s.npos; };
  for (auto* s : {&out.host, &out.hostaddr, &out.port})
    if (only_commas(*s)) s->clear();
  return out;
}

}  // namespace recordkv::view::postgres
