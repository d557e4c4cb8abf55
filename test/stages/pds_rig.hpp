// What the tests of the PDS client share: a loop, a scripted host, a client of it, and its budget of bytes.
#pragma once

#include "../support/fake_http_server.hpp"
#include "../support/fake_relay.hpp"
#include "recordkv/xrpc/pds_client.hpp"

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>

namespace recordkv::test {

using namespace std::chrono_literals;

constexpr std::string_view alice = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

using repo_answer = xrpc::pds_client::answer<xrpc::fetched_repo>;

/// A task of co_spawn needs a result that exists without a value.
inline task<bool> store(std::shared_ptr<std::optional<repo_answer>> out, task<repo_answer> work) {
  out->emplace(co_await std::move(work));
  co_return true;
}

struct pds_rig {
  explicit pds_rig(xrpc::pds_options options = {.allow_private_hosts = true}, std::size_t total = 1'000'000)
      : server(io), budget(total), client(io.get_executor(), options, budget, counters) {}

  repo_answer repo(std::string pds, std::string_view did = alice) {
    const auto got = std::make_shared<std::optional<repo_answer>>();
    REQUIRE(finish(io, store(got, client.get_repo(std::move(pds), std::string(did)))).has_value());
    return std::move(**got);
  }
  xrpc::pds_client::answer<xrpc::repo_status> status(std::string pds, std::string_view did = alice) {
    auto got = finish(io, client.get_repo_status(std::move(pds), std::string(did)));
    REQUIRE(got.has_value());
    return std::move(*got);
  }
  xrpc::pds_client::answer<xrpc::latest_commit> latest(std::string pds, std::string_view did = alice) {
    auto got = finish(io, client.get_latest_commit(std::move(pds), std::string(did)));
    REQUIRE(got.has_value());
    return std::move(*got);
  }
  void answers(reply what) {
    server.answer = [what](std::string_view) { return what; };
  }
  /// The failure of a getRepo that is answered so. It has left nothing in the budget, and is counted under `outcome`.
  xrpc::pds_client::failure failure(reply what, std::string_view outcome) {
    answers(std::move(what));
    const auto before = budget.held();
    const auto counted = count(outcome);
    const auto got = repo(server.url());
    REQUIRE_FALSE(got.has_value());
    INFO(got.error().text);
    CHECK(budget.held() == before);
    CHECK(count(outcome) == counted + 1);
    CHECK(got.error().text.starts_with(server.url()));
    return got.error();
  }
  std::uint64_t count(std::string_view outcome, std::string_view method = "getRepo") const {
    return counters.value("repo_requests", fmt::format("{}_{}", method, outcome));
  }

  asio::io_context io{1};
  meters counters;
  fake_http_server server;
  xrpc::byte_budget budget;
  xrpc::pds_client client;
};

/// An XRPC error.
inline reply xrpc_error(int status, std::string_view name, std::string_view fields = {}) {
  return http_reply(status, fmt::format(R"({{"error":"{}","message":"words of the host"}})", name), fields);
}

}  // namespace recordkv::test
