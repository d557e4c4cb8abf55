// What the command line says of accounts: words, lines, counts, the sums of the stages' reports, and of wishes.
#include "account_facts.hpp"
#include "account_text.hpp"
#include "wish_wait.hpp"

#include <boost/json.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>

using namespace recordkv;
using namespace recordkv::cli;

namespace {

constexpr account_rules any_source{}, verified_only{.verified_only = true};

kv::repo_state good() {
  kv::repo_state s;
  s.did = "did:plc:44ybard66vv44zksje25o7dz";
  s.rev = "3kabcdefgh222";
  s.verified = s.complete = true;
  return s;
}

kv::repo_state stale() {
  auto s = good();
  s.desynchronise("gap", "a commit is missing");
  s.desynchronise("missing_block", "pds.example.com: a block\nis missing");
  return s;
}

// The text of the line `name` of a page; "absent" without one.
std::string line_of(const std::string& page, std::string_view name) {
  for (std::size_t at = 0; at < page.size(); at = page.find('\n', at) + 1) {
    const auto line = std::string_view(page).substr(at, page.find('\n', at) - at);
    if (line.starts_with(name) && line.size() > 17 && line[name.size()] == ' ') return std::string(line.substr(17));
  }
  return "absent";
}

boost::json::array reports(std::string_view text) { return boost::json::parse(text).as_array(); }

}  // namespace

TEST_CASE("each word selects its states") {
  auto unverified = good(), incomplete = good(), inactive = good();
  unverified.verified = false;
  incomplete.complete = false;
  inactive.upstream_status = "takendown";
  const auto selected = [](const kv::repo_state& s, account_rules rules) {
    std::string out;
    for (const auto word : account_words)
      if (selects(word, s, rules)) out += std::string(word) + " ";
    return out;
  };
  CHECK(selected(good(), any_source) == "synchronised ");
  CHECK(selected(stale(), any_source) == "desynchronised ");
  CHECK(selected(incomplete, any_source) == "synchronised incomplete ");
  CHECK(selected(inactive, any_source) == "synchronised inactive ");
  CHECK(selected(unverified, any_source) == "synchronised unverified ");
  CHECK(selected(unverified, verified_only) == "desynchronised unverified ");
  CHECK(selected(good(), verified_only) == "synchronised ");
  CHECK(selects("", stale(), any_source));
  auto followed = good();
  followed.followed = true;
  CHECK(selected(followed, any_source) == "synchronised followed ");
  for (const std::string status : {"inactive", "removing", "deleted", "removed"}) {
    auto s = good();
    s.status = status;
    s.verified = s.complete = false;
    const bool empty = status == "deleted" || status == "removed";  // of records that could be incomplete
    const std::string of_host = status == "removed" ? "" : "inactive ", own = status == "inactive" ? "" : status + " ";
    INFO(status);
    CHECK(selected(s, verified_only) == (empty ? "" : "incomplete unverified ") + of_host + own);
  }
}

TEST_CASE("a status that this version does not know is shown as it is") {
  auto s = good();
  s.status = "resyncing";
  s.verified = false;
  CHECK(status_of(s, verified_only) == "resyncing");
  s.status.clear();
  CHECK(status_of(s, any_source) == "unknown");
}

TEST_CASE("a line has seven words, whatever the state holds") {
  CHECK(account_line(good(), any_source) ==
        "did:plc:44ybard66vv44zksje25o7dz  synchronised    active       3kabcdefgh222  complete    verified    -");
  auto s = stale();
  s.did = "did:web:a b\x1b[2J\xC2\x9B";
  s.rev.clear();
  s.upstream_status = "taken down\n";
  s.complete = s.verified = false;
  const auto line = account_line(s, any_source);
  CHECK(line ==
        "did:web:a?b?[2J??                 desynchronised  taken?down?  -              incomplete  unverified  gap");
}

TEST_CASE("counts say how many, with the right plural") {
  account_counts counts;
  CHECK(counts.text() == "0 accounts: 0 desynchronised, 0 incomplete, 0 unverified, 0 inactive");
  auto s = stale();
  s.upstream_status = "deactivated";
  counts.add(s, any_source);
  CHECK(counts.text() == "1 account: 1 desynchronised, 0 incomplete, 0 unverified, 1 inactive");
  auto unverified = good();
  unverified.verified = unverified.complete = false;
  counts.add(unverified, verified_only);
  counts.unreadable = 3;
  CHECK(counts.text() == "2 accounts: 2 desynchronised, 1 incomplete, 1 unverified, 1 inactive; 3 more can't be read");
  counts = {};
  for (const auto* status : {"removing", "deleted", "deleted", "removed"}) {
    auto gone = good();
    gone.status = status;
    counts.add(gone, any_source);
  }
  auto followed = good();
  followed.followed = true;
  counts.add(followed, any_source);
  CHECK(counts.text() ==
        "5 accounts: 0 desynchronised, 0 incomplete, 0 unverified, 3 inactive, 1 followed, 1 removing, 2 deleted, 1 "
        "removed");
}

TEST_CASE("a page names what is known, on one line each") {
  auto s = stale();
  s.handle = "jay.example.com";
  s.pds = "https://pds.example.com";
  s.collections = {"app.bsky.feed.like", "app.bsky.feed.post"};
  s.seen = "3kabcdefgh333";
  s.at = 17;
  const auto page = account_page(s, any_source, "2026-11-28T05:00:00Z", 0);
  CHECK(line_of(page, "account") == s.did);
  CHECK(line_of(page, "handle") == "jay.example.com (as its DID document says; not checked)");
  CHECK(line_of(page, "pds") == "https://pds.example.com");
  CHECK(line_of(page, "status") == "desynchronised: records may be missing or stale");
  CHECK(line_of(page, "error") == "pds.example.com: a block is missing");
  CHECK(line_of(page, "reasons") == "gap, missing_block");
  CHECK(line_of(page, "upstream") == "active");
  CHECK(line_of(page, "verified") == "yes");
  CHECK(line_of(page, "complete") == "yes");
  CHECK(line_of(page, "stored rev") == "3kabcdefgh222");
  CHECK(line_of(page, "newest rev seen") == "3kabcdefgh333");
  CHECK(line_of(page, "begun with rev") == "absent");
  CHECK(line_of(page, "collections") == "app.bsky.feed.like, app.bsky.feed.post");
  CHECK(line_of(page, "stored up to") == "sequence 17 of the store");
  CHECK(line_of(page, "written") == "2026-11-28T05:00:00Z");

  auto unverified = good();
  unverified.verified = false;
  CHECK(line_of(account_page(unverified, any_source, "", 0), "status") == "synchronised");
  CHECK(line_of(account_page(unverified, any_source, "", 0), "written") == "absent");
  CHECK(line_of(account_page(unverified, verified_only, "", 0), "status") ==
        "desynchronised: none of its commits was verified, and kv.verify is \"full\"");
}

TEST_CASE("a page tells of repair") {
  auto s = stale();
  const auto line_at = [&s](double now, std::string_view name) {
    return line_of(account_page(s, any_source, "", now), name);
  };
  CHECK(line_at(0, "followed") == "no: only what comes");
  CHECK(line_at(0, "last resync") == "never");
  CHECK(line_at(0, "failed tries") == "absent");
  CHECK(line_at(0, "next try") == "absent");
  CHECK(line_at(0, "deletion event") == "absent");
  s.followed = true;
  s.resynced = 1000;
  s.tries = 3;
  s.next_try = 2000;
  s.removing_since = 1200;
  CHECK(line_at(1600, "followed") == "yes: in full");
  CHECK(line_at(1600, "last resync") == "10 min ago (1970-01-01T00:16:40Z)");
  CHECK(line_at(1600, "failed tries") == "3 since the last success");
  CHECK(line_at(1600, "next try") == "in 7 min (1970-01-01T00:33:20Z)");
  CHECK(line_at(1890.5, "next try") == "in 110 s (1970-01-01T00:33:20Z)");
  CHECK(line_at(2000, "next try") == "due (1970-01-01T00:33:20Z)");
  CHECK(line_at(1600, "deletion event") == "6 min ago (1970-01-01T00:20:00Z)");
  s.status = "removing";
  CHECK(line_at(0, "status") == "removing: the account was deleted; its records are being removed");
  s.status = "removed";
  CHECK(line_at(0, "status") == "removed: by `recordkv repo remove`; its events are ignored until `recordkv repo add`");
  s.status = "resyncing";
  CHECK(line_at(0, "status") == "resyncing");
}

TEST_CASE("the key's age") {
  auto s = good();
  const auto key_at = [&s](double now) { return line_of(account_page(s, any_source, "", now), "key"); };
  CHECK(key_at(2000) == "not known");
  s.key_checked = 1000;
  CHECK(key_at(1090) == "not known; asked for 90 s ago");
  s.key = "zQ3sh";
  CHECK(key_at(1119) == "zQ3sh, looked up 119 s ago (1970-01-01T00:16:40Z)");
  CHECK(key_at(1000 + 125) == "zQ3sh, looked up 2 min ago (1970-01-01T00:16:40Z)");
  CHECK(key_at(1000 + 5 * 3600) == "zQ3sh, looked up 5 h ago (1970-01-01T00:16:40Z)");
  CHECK(key_at(1000 + 3 * 86'400) == "zQ3sh, looked up 3 days ago (1970-01-01T00:16:40Z)");
  CHECK(key_at(999) == "zQ3sh, looked up in the future, by this machine's clock (1970-01-01T00:16:40Z)");
  s.key_checked = 0;
  CHECK(key_at(2000) == "zQ3sh, never looked up");
}

TEST_CASE("a terminal obeys nothing that a state holds") {
  CHECK(on_one_line("a\nb\x1b[2J\x7F") == "a b [2J ");
  CHECK(on_one_line("\xC2\x9B"
                    "2J \xC3\xA4 \xC2\xA0 \xC2") == "  2J \xC3\xA4 \xC2\xA0 \xC2");
}

TEST_CASE("the accounts that all kv stages know are added up") {
  const auto sum = reported_accounts(reports(R"([
    {"stage":"ingest","accounts":9},
    {"stage":"kv","state":"running","accounts":5},
    {"stage":"kv","state":"stalled","accounts":7},
    {"stage":"kv","state":"gone","accounts":100}])"));
  CHECK(sum == boost::json::object{{"known", 12u}});
  CHECK(reported_accounts({}).empty());
  CHECK(reported_accounts(reports(R"([{"stage":"kv","state":"gone","accounts":100}])")).empty());
  CHECK(reported_accounts(reports(R"([{"stage":"kv","accounts":5}, {"stage":"kv"}])")).empty());
}

namespace {

using verdict = wish_verdict::word;

made_wish wish_of(kv::wish_kind what) {
  made_wish w{.what = {.did = good().did, .what = what, .at = "1970-01-01T00:16:40.900Z"}, .partition = "3", .seq = 50};
  w.before = stale();
  return w;
}

// After the stage has acted on the wish.
wish_facts acted(kv::repo_state s) { return {.wish = wish_facts::key::gone, .state = std::move(s), .state_seq = 60}; }

kv::repo_state with_status(std::string status) {
  auto s = good();
  s.status = std::move(status);
  return s;
}

}  // namespace

TEST_CASE("a wish waits until the stage has acted on it") {
  auto fetched = good();
  fetched.resynced = 1005;
  for (const auto what : {kv::wish_kind::add, kv::wish_kind::resync}) {
    const auto w = wish_of(what);
    CHECK(judge(w, {}, 1010).is == verdict::waiting);
    auto pending = acted(fetched);
    pending.wish = wish_facts::key::pending;
    CHECK(judge(w, pending, 1010).is == verdict::waiting);
    CHECK(judge(w, acted(stale()), 1010).is == verdict::waiting);
    const auto now = judge(w, acted(fetched), 1010);
    CHECK(now.is == verdict::fulfilled);
    CHECK(now.text == "synchronised at rev 3kabcdefgh222");
  }
  auto replaced = acted(fetched);
  replaced.wish = wish_facts::key::replaced;
  CHECK(judge(wish_of(kv::wish_kind::add), replaced, 1010).is == verdict::failed);
  CHECK(judge(wish_of(kv::wish_kind::add), {.wish = wish_facts::key::gone}, 1010).is == verdict::failed);
}

TEST_CASE("only a fetch after the wish fulfils it") {
  auto w = wish_of(kv::wish_kind::resync);
  auto s = good();
  CHECK(judge(w, acted(s), 1010).is == verdict::waiting);  // never fetched
  s.resynced = 999;
  w.before.resynced = 999;
  CHECK(judge(w, acted(s), 1010).is == verdict::waiting);
  s.resynced = 1000;  // in the second of the wish
  CHECK(judge(w, acted(s), 1010).is == verdict::fulfilled);
  auto older = acted(s);
  older.state_seq = 49;
  CHECK(judge(w, older, 1010).is == verdict::waiting);
  s.resynced = 400;  // by a clock that is ten minutes behind
  w.before.resynced = 300;
  CHECK(judge(w, acted(s), 1010).is == verdict::fulfilled);
  s.status = "desynchronised";
  CHECK(judge(w, acted(s), 1010).is == verdict::waiting);
}

TEST_CASE("a failed try ends the wait, with its error and the next one's time") {
  auto w = wish_of(kv::wish_kind::add);
  auto s = stale();
  s.error = "pds.example.com: HTTP\n500";
  s.tries = 1;
  s.next_try = 1070;
  const auto v = judge(w, acted(s), 1010);
  CHECK(v.is == verdict::failed);
  CHECK(v.text == "the try has failed: pds.example.com: HTTP 500. The next one comes at 1970-01-01T00:17:50Z");
  CHECK(v.next_try == 1070);
  CHECK(judge(w, acted(s), 1071).is == verdict::waiting);  // it is due, or under way
  w.before.tries = 1;
  w.before.next_try = 1070;
  CHECK(judge(w, acted(s), 1010).is == verdict::waiting);  // failed before the wish
}

TEST_CASE("an account that is not active is not fetched, and says why") {
  for (const auto what : {kv::wish_kind::add, kv::wish_kind::resync}) {
    auto s = with_status("inactive");
    s.upstream_status = "takendown";
    const auto v = judge(wish_of(what), acted(s), 1010);
    CHECK(v.is == verdict::failed);
    CHECK(v.text == "its PDS says that it is not active (takendown)");
    for (const auto* status : {"deleted", "removing"}) {
      CHECK(judge(wish_of(what), acted(with_status(status)), 1010).is == verdict::failed);
      CHECK(judge(wish_of(what), acted(with_status(status)), 1010).text == "the account was deleted");
    }
    CHECK(judge(wish_of(what), acted(with_status("removed")), 1010).is == verdict::failed);
  }
}

TEST_CASE("a removal is fulfilled when the account is removed and its keys are gone") {
  const auto w = wish_of(kv::wish_kind::remove);
  auto being_removed = with_status("removed");
  being_removed.reasons = {"asked"};
  CHECK(judge(w, acted(being_removed), 1010).is == verdict::waiting);
  CHECK(judge(w, acted(with_status("synchronised")), 1010).is == verdict::waiting);
  CHECK(judge(w, acted(with_status("removing")), 1010).is == verdict::waiting);
  CHECK(judge(w, acted(with_status("removed")), 1010).is == verdict::fulfilled);
  auto already = acted(with_status("removed"));
  already.state_seq = 10;
  CHECK(judge(w, already, 1010).is == verdict::fulfilled);
}

TEST_CASE("the report of a wish") {
  auto w = wish_of(kv::wish_kind::resync);
  CHECK(w.who() == w.what.did);
  CHECK(wish_report(w, {}, false) == boost::json::object{{"did", w.what.did},
                                                         {"wish", "resync"},
                                                         {"at", "1970-01-01T00:16:40.900Z"},
                                                         {"seq", 50u},
                                                         {"running", false},
                                                         {"outcome", "waiting"}});
  w.handle = "jay.example.com";
  CHECK(w.who() == "jay.example.com (did:plc:44ybard66vv44zksje25o7dz)");
  const auto o = wish_report(w, {verdict::failed, "why", 1070}, true);
  CHECK(o.at("handle") == "jay.example.com");
  CHECK(o.at("outcome") == "failed");
  CHECK(o.at("text") == "why");
  CHECK(o.at("next_try") == 1070);
}

TEST_CASE("a partition is taken by a live process that names it") {
  const std::vector<lock_row> rows{{.key = "kv-0-7", .live = true},
                                   {.key = "kv-8-f", .live = false},
                                   {.key = "view-likes", .live = true},
                                   {.key = "ingest", .live = true}};
  CHECK(is_taken(rows, "3", 16));
  CHECK_FALSE(is_taken(rows, "8", 16));
  CHECK(is_taken({{.key = "kv", .live = true}}, "8", 16));
  CHECK_FALSE(is_taken({}, "8", 16));
  CHECK(not_taken_text({"8", "3", "8"}) ==
        "no process runs stage kv for partitions 3,8: the wish waits for the next start of one");
  CHECK(not_taken_text({"8"}) == "no process runs stage kv for partition 8: the wish waits for the next start of one");
}
