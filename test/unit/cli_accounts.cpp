// What the command line says of accounts: words, lines, counts, and the sums of the stages' reports.
#include "account_facts.hpp"
#include "account_text.hpp"

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

TEST_CASE("each number that all kv stages report is added up") {
  const auto sum = reported_accounts(reports(R"([
    {"stage":"ingest","accounts":9},
    {"stage":"kv","state":"running","accounts":5,"desynchronised":2,"incomplete":4,"unverified":1},
    {"stage":"kv","state":"stalled","accounts":7,"desynchronised":1,"incomplete":0,"unverified":3},
    {"stage":"kv","state":"gone","accounts":100}])"));
  CHECK(sum == boost::json::object{{"known", 12u}, {"desynchronised", 3u}, {"incomplete", 4u}, {"unverified", 4u}});
  CHECK(reported_accounts({}).empty());
  CHECK(reported_accounts(reports(R"([{"stage":"kv","state":"gone","accounts":100}])")).empty());
  CHECK(reported_accounts(reports(R"([{"stage":"kv","accounts":5}])")) == boost::json::object{{"known", 5u}});
  CHECK(reported_accounts(reports(R"([{"stage":"kv","accounts":5,"incomplete":4}, {"stage":"kv","accounts":1}])")) ==
        boost::json::object{{"known", 6u}});
}
