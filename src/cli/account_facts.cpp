#include "account_facts.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/kv/known_accounts.hpp"

#include <boost/json.hpp>

#include <map>
#include <ranges>

namespace recordkv::cli {
namespace json = boost::json;
namespace {

// Reading the headers takes about 3 s for a million states.
constexpr std::uint64_t countable_states = 2'000'000;

// Desynchronised accounts, in total and by reason. An account may have several reasons.
struct stale_accounts {
  kv::known_accounts all;
  std::map<std::string, kv::known_accounts, std::less<>> by_reason;

  void add(std::string_view encoded_did, std::string_view reasons) {
    all.add(encoded_did);
    if (reasons.empty()) reasons = "unknown";  // written before there were reasons
    for (const auto word : std::views::split(reasons, ','))
      by_reason[std::string(word.begin(), word.end())].add(encoded_did);
  }
};

// The state of such an account has the header `status`. nullopt: not known, or more than `max` states.
task<std::optional<stale_accounts>> count_stale(session s, std::uint64_t max) {
  auto repo = co_await nats::stream_info(s.nc, kv::store_names::stream_of(s.names().repo()));
  if (!repo && repo.error().code == errc::not_found) co_return stale_accounts{};
  if (!repo || repo->messages > max) co_return std::nullopt;
  meters counters;
  stale_accounts stale;
  auto count = [&](std::string_view encoded_did, const nats::message& m) {
    if (m.header_value("status") == "desynchronised") stale.add(encoded_did, m.header_value("reasons"));
  };
  auto read = co_await kv::read_states(s.nc, s.names(), s.facts.api_level, counters, kv::state_parts::headers,
                                       std::move(count));
  if (!read) co_return std::nullopt;
  co_return stale;
}

}  // namespace

json::object reported_accounts(const json::array& rows) {
  std::uint64_t known = 0;
  bool all_report = false;
  for (const auto& row : rows) {
    const auto& o = row.as_object();
    if (text_field(o, "stage") != "kv" || text_field(o, "state") == "gone") continue;
    if (!o.contains("accounts")) return {};
    all_report = true;
    known += unsigned_field(o, "accounts");
  }
  return all_report ? json::object{{"known", known}} : json::object{};
}

task<> add_stale_accounts(session s, json::object& all) {
  const auto stale = co_await count_stale(s, countable_states);
  all["accounts_maybe_stale"] = stale ? json::value(stale->all.size()) : json::value(nullptr);
  json::object reasons;
  if (stale)
    for (const auto& [reason, accounts] : stale->by_reason) reasons[reason] = accounts.size();
  all["accounts_stale_by_reason"] = std::move(reasons);
}

}  // namespace recordkv::cli
