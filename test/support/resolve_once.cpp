// Does what recordkv does with hostile names, one line of standard input at a time:
//
//   did DID     looks the DID up, and then asks its PDS, as a repair would
//   url URL     asks the URL, and follows redirects
//
// and prints one line for each: the outcome, a tab, more words. `resolve-once PLC_URL public|any`: the rule for hosts.
// Owns: that loop. Does not know: which outcome is right.
#include "recordkv/http/client.hpp"
#include "recordkv/identity/resolver.hpp"

#include <fmt/format.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdio>
#include <iostream>
#include <string>

using namespace recordkv;
using namespace std::chrono_literals;

namespace {

const http::get_limits limits{.timeout = 3s, .redirects = 3};

std::string shown(const error& e) { return fmt::format("{}\t{}", name(e.code), e.text); }

task<std::string> ask(http::client& client, std::string text) {
  const auto url = http::parse_url(text);
  if (!url) co_return shown(url.error());
  const auto said = co_await client.get(*url, limits);
  co_return said ? fmt::format("status {}\t", said->status) : shown(said.error());
}

task<std::string> resolve(identity::resolver& resolver, http::client& client, std::string did) {
  const auto who = co_await resolver.look_up(std::move(did));
  if (!who) co_return shown(who.error());
  if (who->pds.empty()) co_return "no pds\t";
  co_return co_await ask(client, who->pds + "/xrpc/com.atproto.sync.getRepo");
}

task<> work(identity::resolver& resolver, http::client& client) {
  for (std::string line; std::getline(std::cin, line);) {
    std::string what = line.substr(std::min<std::size_t>(4, line.size()));
    const bool did = line.starts_with("did ");
    const auto out = did ? co_await resolve(resolver, client, std::move(what)) : co_await ask(client, std::move(what));
    std::puts(out.c_str());
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const bool any = std::string_view(argv[2]) == "any";
  asio::io_context io{1};
  meters counters;
  identity::resolver resolver(
      io.get_executor(), {.plc_url = argv[1], .allow_private_hosts = any, .timeout = 3s, .patience = 1s}, counters);
  http::client client(io.get_executor(), any ? http::host_rule::any : http::host_rule::only_public);
  asio::co_spawn(io, work(resolver, client), [](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
  });
  io.run();
  return 0;
}
