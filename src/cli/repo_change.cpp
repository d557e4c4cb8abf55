#include "repo_change.hpp"

#include "account_names.hpp"
#include "output.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "stores_there.hpp"
#include "wish_making.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>

namespace recordkv::cli {
namespace {

kv::wish_kind kind_of(std::string_view action) {
  using kv::wish_kind;
  for (const auto kind : {wish_kind::add, wish_kind::remove})
    if (action == kv::name(kind)) return kind;
  return wish_kind::resync;
}

std::string what_will_happen(const made_wish& w) {
  switch (w.what.what) {
    case kv::wish_kind::add: return "will be followed in full: its repo is fetched and kept complete";
    case kv::wish_kind::remove:
      return fmt::format("its records will be removed, and its events ignored until `recordkv repo add {}`",
                         w.what.did);
    case kv::wish_kind::resync: break;
  }
  return "its repo will be fetched, and its records in the store made equal to it";
}

// All or an error: a command with one wrong name changes nothing.
task<result<std::vector<named_account>>> accounts_of(session s, std::vector<std::string> names) {
  network_names network(s.nc.io().get_executor(), s.cfg);
  std::vector<named_account> out;
  for (auto& name : names) {
    named_account one{.did = name};
    if (!atproto::is_did(name)) {
      auto known = co_await known_account(s, name);
      if (!known) co_return known.error();
      if (!*known) {
        auto found = co_await network.did_of(name);
        if (!found) co_return found.error();
        *known = std::move(*found);
      }
      one = {.did = std::move(**known), .handle = std::move(name)};
    }
    if (std::ranges::find(out, one.did, &named_account::did) == out.end()) out.push_back(std::move(one));
  }
  co_return out;
}

task<int> change(session s, invocation i) {
  if (auto there = co_await can_take_wishes(s); !there) co_return complain(there.error());
  auto accounts = co_await accounts_of(s, std::move(i.repo.accounts));
  if (!accounts) co_return complain(accounts.error());
  auto rows = co_await read_locks(s.nc, s.names());
  if (!rows) co_return complain(rows.error());
  const unsigned partitions = co_await store_partitions(s);
  std::vector<made_wish> made;
  std::vector<std::string> untaken;
  for (auto& account : *accounts) {
    auto wish = co_await make_wish(s, std::move(account), kind_of(i.action), partitions);
    if (!wish) co_return complain(wish.error());
    const bool taken = is_taken(*rows, wish->partition, partitions);
    if (!taken) untaken.push_back(wish->partition);
    if (!i.wait && i.json)
      write_out("{}\n", boost::json::serialize(wish_report(*wish, {}, taken)));
    else if (!i.json)
      write_out("{}: {}\n", wish->who(), what_will_happen(*wish));
    made.push_back(std::move(*wish));
  }
  if (i.wait) co_return co_await await_wishes(s, std::move(made), partitions, i.json);
  if (!untaken.empty()) write_error("recordkv: {}\n", not_taken_text(untaken));
  if (!i.json)
    write_error("recordkv: `recordkv repo show {}` says how far it is; --wait waits for it\n",
                made.size() == 1 ? made.front().what.did : "DID");
  co_return done;
}

}  // namespace

int change_accounts(const invocation& i, const config& cfg) {
  auto one = i;
  for (auto& name : one.repo.accounts) {
    auto checked = account_name(std::move(name), "repo " + i.action);
    if (!checked) return complain(checked.error());
    name = std::move(*checked);
  }
  return with_nats(cfg, [&](session s) { return change(s, one); });
}

}  // namespace recordkv::cli
