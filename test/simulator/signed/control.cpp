// The control routes: faults and events on command, and the truth.
//
// Owns: their parameters and answers.
// Does not know: how a fault is made.

#include "network_hosts.hpp"
#include "network_truth.hpp"

#include <fmt/format.h>

#include <charconv>
#include <sstream>

namespace recordkv::sim {
namespace {

answer mistake(std::string_view message) { return refusal(400, "InvalidRequest", message); }

std::optional<std::uint64_t> count_of(const query& q) {
  const std::string_view text = value_of(q, "count");
  std::uint64_t out = 1;
  if (text.empty()) return out;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (ec != std::errc() || end != text.data() + text.size() || out == 0) return std::nullopt;
  return out;
}

answer done() { return {.body = R"({"done":true})"}; }

}  // namespace

answer network_hosts::control(const request& r) {
  const std::string_view path = std::string_view(r.target).substr(0, r.target.find('?'));
  const query q = parse_query(r.target);
  if (path == "/" || path == "/control/state") return state();
  if (path == "/control/faults") return {.body = network_.log().json(network_.plan())};
  if (path == "/control/fault") return add_fault(q);
  if (path == "/control/commit") return add_commits(q);
  if (path == "/control/emit") return add_events(q);
  if (path == "/control/truth") return truth(q);
  if (path == "/control/accounts") return account_lines();
  if (path == "/control/plc" || path == "/control/pds") {
    const auto set = (path == "/control/plc" ? plc_ : pds_).set(q);
    return set.has_error() ? mistake(set.error().text) : done();
  }
  return refusal(404, "NotFound", "no such control route");
}

answer network_hosts::add_fault(const query& q) {
  const auto kind = fault_named(value_of(q, "kind"));
  const auto count = count_of(q);
  if (!kind || !count) return mistake("kind names a fault, and count is a number above 0");
  if (*kind == fault::disconnect) {
    network_.note({.kind = name(*kind), .did = {}, .expect = "equal"});
    stream_.cut();
    return done();
  }
  const std::string_view did = value_of(q, "did");
  account* const a = network_.accounts().find(did);
  if (!did.empty() && a == nullptr) return mistake("no account has this DID");
  if (a != nullptr && concerns_account(*kind)) {
    const bool happened = network_.inject(*kind, *a);
    feed_.nudge();
    return happened ? done() : mistake("the account is not in the state for this fault");
  }
  network_.plan().arm(*kind, a == nullptr ? std::nullopt : std::optional(a->number), *count);
  return {.body = fmt::format(R"({{"armed":{}}})", *count)};
}

answer network_hosts::add_commits(const query& q) {
  account* const a = network_.accounts().find(value_of(q, "did"));
  const auto count = count_of(q);
  if (a == nullptr || !count) return mistake("did names an account, and count is a number above 0");
  if (a->status != account_status::active) return mistake("the account is not active");
  for (std::uint64_t i = 0; i < *count; ++i) network_.post(*a);
  feed_.nudge();
  return {.body = fmt::format(R"({{"rev":"{}","seq":{}}})", tid_text(a->repo.rev), network_.seq())};
}

answer network_hosts::add_events(const query& q) {
  const auto count = count_of(q);
  if (!count) return mistake("count is a number above 0");
  feed_.emit(*count);
  return state();
}

answer network_hosts::truth(const query& q) {
  if (const std::string_view did = value_of(q, "did"); !did.empty()) {
    const account* a = network_.accounts().find(did);
    if (a == nullptr || !a->exists) return mistake("no account has this DID yet");
    return {.body = account_json(network_.accounts(), *a, true)};
  }
  std::ostringstream out;
  write_truth(out, network_, partitions_, feed_.emitted());
  return {.body = std::move(out).str(), .type = "text/plain; charset=utf-8"};
}

answer network_hosts::account_lines() {
  std::ostringstream out;
  write_accounts(out, network_);
  return {.body = std::move(out).str(), .type = "application/jsonl"};
}

answer network_hosts::state() const {
  return {.body = fmt::format(
              R"({{"emitted":{},"seq":{},"total":{},"finished":{},"oldest":{},"seed":{},"accounts":{},"clients":{},)"
              R"("plc_requests":{},"xrpc_requests":{}}})",
              feed_.emitted(), network_.seq(), feed_.total(), feed_.finished(), feed_.past().oldest(),
              network_.rules().seed, network_.accounts().size(), stream_.clients(), plc_requests_, xrpc_.requests())};
}

}  // namespace recordkv::sim
