#include "repo_change.hpp"

#include "account_search.hpp"
#include "account_text.hpp"
#include "output.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/identity/handle.hpp"
#include "recordkv/kv/record_key.hpp"
#include "stores_there.hpp"
#include "wish_wait.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>

namespace recordkv::cli {
namespace {

struct named_account {
  std::string did;
  std::string handle;  // as written; empty: a DID was written
};

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

// Known accounts need no network. Their handles are unchecked, so several may name the same one.
task<result<std::string>> did_of(session s, identity::handle_resolver& network, std::string handle) {
  auto known = co_await accounts_of_handle(s, handle);
  if (!known) co_return known.error();
  if (known->size() == 1) co_return std::move(known->front());
  co_return co_await network.look_up(std::move(handle));
}

// All or an error: a command with one wrong name changes nothing.
task<result<std::vector<named_account>>> accounts_of(session s, std::vector<std::string> names) {
  meters counters;
  const bool private_hosts = s.cfg.identity.allow_private_hosts;
  identity::resolver documents(s.nc.io().get_executor(),
                               {.plc_url = s.cfg.identity.plc_url, .allow_private_hosts = private_hosts}, counters);
  identity::handle_resolver network(s.nc.io().get_executor(), {.allow_private_hosts = private_hosts}, documents);
  std::vector<named_account> out;
  for (auto& name : names) {
    named_account one{.did = name};
    if (!atproto::is_did(name)) {
      auto did = co_await did_of(s, network, name);
      if (!did) co_return did.error();
      one = {.did = std::move(*did), .handle = std::move(name)};
    }
    if (std::ranges::find(out, one.did, &named_account::did) == out.end()) out.push_back(std::move(one));
  }
  co_return out;
}

task<result<void>> states_are_there(session s) {
  if (auto there = co_await store_is_there(s); !there) co_return there;
  const auto repo = co_await nats::stream_info(s.nc, kv::store_names::stream_of(s.names().repo()));
  if (!repo && repo.error().code == errc::not_found)
    co_return fail(errc::not_found, "there is no bucket {} that could take a wish; run recordkv first",
                   s.names().repo());
  if (!repo) co_return repo.error();
  co_return result<void>{};
}

task<result<made_wish>> make_wish(session s, named_account account, kv::wish_kind what, unsigned partitions) {
  kv::bucket repo(s.nc, s.names().repo());
  made_wish out{.what = {.did = account.did, .what = what},
                .handle = std::move(account.handle),
                .partition = kv::partition_of(account.did, partitions)};
  auto before = co_await repo.get(kv::repo_key(account.did, partitions));
  if (!before && before.error().code != errc::not_found) co_return before.error();
  if (before && !before->deleted)
    if (auto state = kv::parse_repo_state(before->value)) out.before = std::move(*state);
  out.what.at = timestamp_now();
  auto seq = co_await kv::make_wish(repo, out.what);
  if (!seq) co_return fail(seq.error().code, "the wish for {} can't be written: {}", account.did, seq.error().text);
  out.seq = *seq;
  co_return out;
}

task<int> change(session s, invocation i) {
  if (auto there = co_await states_are_there(s); !there) co_return complain(there.error());
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
    if (name.starts_with('@')) name.erase(0, 1);
    if (!atproto::is_did(name) && !atproto::is_handle(name))
      return complain(fail(errc::bad_config, "repo {} wants DIDs or handles; \"{}\" is neither", i.action, name));
  }
  return with_nats(cfg, [&](session s) { return change(s, one); });
}

}  // namespace recordkv::cli
