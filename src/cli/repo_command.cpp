// `repo`: the accounts, as bucket `repo` has them.
//
// Owns: reading the states, the search by handle, the actions and their exit codes.
// Does not know: how a state is worded (account_text.hpp). It changes none: only stage kv writes states (X17).
#include "account_text.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/known_accounts.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "stores_there.hpp"

#include <unistd.h>

#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <chrono>
#include <functional>

namespace recordkv::cli {
namespace {

account_rules rules_of(const config& cfg) {
  return {.verified_only = cfg.kv.verify == "full" && firehose::source_kind_named(cfg.source.kind).signed_commits};
}

/// What becomes of the states of a store, one by one.
struct state_visitor {
  std::function<void(const kv::repo_state& state, std::string_view stored)> take;
  std::function<void(const std::string& did, const error& why)> unreadable;
  std::function<bool()> enough;  ///< true: no further one is wanted
};

void visit(const state_visitor& to, std::string_view encoded_did, std::string_view stored) {
  if (auto state = kv::parse_repo_state(stored))
    to.take(*state, stored);
  else
    to.unreadable(kv::decode_part(encoded_did), state.error());
}

// Keeps only which accounts it has seen. An account is shown again if its state is written meanwhile: the first showing
// counts.
task<result<void>> visit_states(session s, state_visitor to, bool with_progress) {
  auto repo = co_await nats::stream_info(s.nc, kv::store_names::stream_of(s.names().repo()));
  if (!repo && repo.error().code == errc::not_found)
    co_return fail(errc::not_found, "no account has a state: there is no bucket {}; run recordkv first",
                   s.names().repo());
  if (!repo) co_return repo.error();
  progress bar("accounts");
  const double total = std::max(1.0, static_cast<double>(repo->messages));
  kv::known_accounts seen;
  auto show = [&](std::string_view encoded_did, const nats::message& m) {
    if (to.enough() || seen.contains(encoded_did) || !m.header_value("KV-Operation").empty()) return;
    seen.add(encoded_did);
    visit(to, encoded_did, m.data());
    if (with_progress && seen.size() % 5000 == 0)
      bar.show(static_cast<double>(seen.size()) / total, fmt::format("{} read", seen.size()));
  };
  meters counters;
  auto go_on = [&to] { return !to.enough(); };
  auto read = co_await kv::read_states(s.nc, s.names(), s.facts.api_level, counters, kv::state_parts::headers_and_value,
                                       std::move(show), std::move(go_on));
  if (!read && read.error().code == errc::closed && to.enough()) co_return result<void>{};
  co_return read;
}

// A line break between JSON tokens becomes a space; within a token there is none.
std::string json_line(std::string_view stored) {
  std::string out(stored);
  std::ranges::replace_if(out, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return out;
}

class listing {
 public:
  listing(const invocation& i, account_rules rules) : what_(i.repo), json_(i.json), rules_(rules) {}

  void take(const kv::repo_state& s, std::string_view stored) {
    counts_.add(s, rules_);
    if (!selects(what_.status, s, rules_)) return;
    write_out("{}\n", json_ ? json_line(stored) : account_line(s, rules_));
    ++printed_;
    if (printed_ % 256 == 0) reader_gone_ = !flush_output();
  }

  void unreadable(const std::string& did, const error& why) {
    constexpr std::uint64_t max_named = 10;
    if (++counts_.unreadable <= max_named)
      write_error("recordkv: the state of {} can't be read: {}\n", on_one_line(did), why.text);
  }

  bool enough() const { return reader_gone_ || at_limit(); }

  int finish() {
    if (!flush_output()) return done;  // the counts are of no use without the lines
    write_error("recordkv: {}{}\n", at_limit() ? "read up to --limit: " : "", counts_.text());
    return printed_ > 0 ? done : no;
  }

 private:
  bool at_limit() const { return what_.limit > 0 && printed_ >= what_.limit; }

  const repo_options& what_;
  bool json_;
  account_rules rules_;
  account_counts counts_;
  std::uint64_t printed_ = 0;
  bool reader_gone_ = false;
};

task<int> list(session s, invocation i) {
  if (auto there = co_await store_is_there(s); !there) co_return complain(there.error());
  listing lines(i, rules_of(s.cfg));
  const bool apart = isatty(STDOUT_FILENO) == 0;  // on one terminal, a bar and the lines would mix
  state_visitor to{.take = [&](const auto& state, auto stored) { lines.take(state, stored); },
                   .unreadable = [&](const auto& did, const auto& why) { lines.unreadable(did, why); },
                   .enough = [&] { return lines.enough(); }};
  auto read = co_await visit_states(s, std::move(to), apart);
  if (!read) co_return complain(read.error());
  co_return lines.finish();
}

task<int> show_account(session s, std::string did, bool as_json) {
  kv::bucket repo(s.nc, s.names().repo());
  auto found = co_await repo.get(kv::repo_key(did, co_await store_partitions(s)));
  if (!found && found.error().code != errc::not_found) co_return complain(found.error());
  if (!found || found->deleted)
    co_return complain(fail(errc::not_found,
                            "{} has no state: recordkv has applied nothing of it. `recordkv repo list` shows the known "
                            "accounts; an account becomes known with its next record in source.collections",
                            did));
  auto state = kv::parse_repo_state(found->value);
  if (!state)
    co_return complain(fail(state.error().code, "the state of {} can't be read: {}", did, state.error().text));
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  write_out("{}", as_json ? json_line(found->value) + "\n" : account_page(*state, rules_of(s.cfg), found->time, now));
  co_return done;
}

constexpr std::size_t max_of_handle = 10;

// The accounts whose DID documents name a handle. Any number may: the documents are not checked against the handle.
task<result<std::vector<std::string>>> accounts_of_handle(session s, std::string handle) {
  std::vector<std::string> dids;
  auto take = [&](const kv::repo_state& state, std::string_view) {
    if (boost::beast::iequals(state.handle, handle)) dids.push_back(state.did);
  };
  state_visitor to{.take = std::move(take),
                   .unreadable = [](const auto&, const auto&) {},
                   .enough = [&] { return dids.size() >= max_of_handle; }};
  if (auto read = co_await visit_states(s, std::move(to), true); !read) co_return read.error();
  co_return dids;
}

task<int> show_handle(session s, std::string handle, bool as_json) {
  auto dids = co_await accounts_of_handle(s, handle);
  if (!dids) co_return complain(dids.error());
  if (dids->empty())
    co_return complain(fail(errc::not_found,
                            "no known account's DID document names the handle {0}. Ask for its DID instead: "
                            "https://{0}/.well-known/atproto-did or the TXT record of _atproto.{0} names it",
                            handle));
  for (std::size_t n = 0; n < dids->size(); ++n) {
    if (n > 0 && !as_json) write_out("\n");
    if (const int code = co_await show_account(s, (*dids)[n], as_json); code != done) co_return code;
  }
  if (dids->size() > 1)
    write_error("recordkv: {}{} name this handle in their DID documents; at most one of them has it\n",
                dids->size() == max_of_handle ? "at least " : "", counted_accounts(dids->size()));
  co_return done;
}

task<int> show(session s, invocation i) {
  if (auto there = co_await store_is_there(s); !there) co_return complain(there.error());
  if (atproto::is_did(i.repo.account)) co_return co_await show_account(s, i.repo.account, i.json);
  co_return co_await show_handle(s, i.repo.account, i.json);
}

}  // namespace

int repo_command(const invocation& i, const config& cfg) {
  if (i.action == "list") return with_nats(cfg, [&](session s) { return list(s, i); });
  auto one = i;
  if (one.repo.account.starts_with('@')) one.repo.account.erase(0, 1);
  if (!atproto::is_did(one.repo.account) && !atproto::is_handle(one.repo.account))
    return complain(fail(errc::bad_config, "repo show wants a DID or a handle; \"{}\" is neither", i.repo.account));
  return with_nats(cfg, [&](session s) { return show(s, one); });
}

}  // namespace recordkv::cli
