// `repo`: the accounts, as bucket `repo` has them.
//
// Owns: the actions `list` and `show`, and their exit codes.
// Does not know: how states are found (account_search.hpp) and worded (account_text.hpp), and the other actions
// (repo_change.hpp, traces.hpp).
#include "account_names.hpp"
#include "account_search.hpp"
#include "account_text.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "repo_change.hpp"
#include "stores_there.hpp"
#include "traces.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace recordkv::cli {
namespace {

account_rules rules_of(const config& cfg) {
  return {.verified_only = cfg.kv.verify == "full" && firehose::source_kind_named(cfg.source.kind).signed_commits};
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
  if (i.action == "traces") return print_traces(i, cfg);
  if (i.action != "list" && i.action != "show") return change_accounts(i, cfg);
  if (i.action == "list") return with_nats(cfg, [&](session s) { return list(s, i); });
  auto name = account_name(i.repo.account, "repo show");
  if (!name) return complain(name.error());
  auto one = i;
  one.repo.account = std::move(*name);
  return with_nats(cfg, [&](session s) { return show(s, one); });
}

}  // namespace recordkv::cli
