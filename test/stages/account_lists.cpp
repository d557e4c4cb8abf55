// The lists of accounts: each page's accounts are followed before the next page counts, a restart goes on where the
// reading was, and a host that can't be read keeps no other away.
#include "repair/account_lists.hpp"

#include "../support/fakes.hpp"
#include "configured_lists.hpp"
#include "repair/repair_pace.hpp"

#include <catch2/catch_test_macros.hpp>

#include <map>

using namespace recordkv;
using namespace recordkv::stages;
using namespace recordkv::test;
using namespace std::chrono_literals;
using xrpc::list_page;
using xrpc::list_request;

namespace {

using words = std::vector<std::string>;
using answer = xrpc::pds_client::answer<list_page>;

const std::string relay = "https://relay.example";

std::string did(int n) { return fmt::format("did:plc:{:a>24}", std::string(1, static_cast<char>('b' + n))); }

xrpc::pds_client::failure status_500() { return {errc::unavailable, "status", "HTTP 500"}; }

/// Hosts with pages, and a store that takes what is followed.
struct rig {
  struct state {
    std::map<std::string, std::vector<answer>> pages;  // by "host kind cursor"; the last answer stays
    words asked, followed;
    std::string saved;
    std::vector<std::string> log;  // "page …", "follow …", "save cursor": their order
    bool room = true;
    bool closed = false;
    std::chrono::system_clock::time_point now{std::chrono::seconds(1'700'000'000)};
  };

  static std::string key(const list_request& q) {
    const char* what = q.what == list_request::kind::hosts   ? "hosts"
                       : q.what == list_request::kind::repos ? "repos"
                                                             : "collection";
    return fmt::format("{} {} {}{}", q.host, what, q.cursor, q.configured ? "" : " unconfigured");
  }
  void serve(const std::string& where, answer a) { s.pages[where].push_back(std::move(a)); }
  void serve(const std::string& where, words items, std::string cursor = "", std::uint64_t accounts = 0) {
    serve(where, answer(list_page{.items = std::move(items), .accounts = accounts, .cursor = std::move(cursor)}));
  }

  static task<answer> page(state& s, list_request q) {
    const auto k = key(q);
    s.asked.push_back(k);
    s.log.push_back("page " + k);
    const auto found = s.pages.find(k);
    if (s.closed) co_return xrpc::pds_client::failure{errc::closed, "closed", "closed"};
    if (found == s.pages.end()) co_return xrpc::pds_client::failure{errc::unreachable, "unreachable", k};
    answer out = found->second.front();
    if (found->second.size() > 1) found->second.erase(found->second.begin());
    co_return out;
  }
  static task<result<std::string>> did_of(std::string handle) {
    if (handle == "alice.example.com") co_return did(7);
    co_return fail(errc::not_found, "{} names no account", handle);
  }
  static task<result<void>> follow(state& s, words dids) {
    s.log.push_back(fmt::format("follow {}", dids.size()));
    for (auto& d : dids) s.followed.push_back(std::move(d));
    co_return result<void>{};
  }
  static task<result<std::string>> load(state& s) { co_return s.saved; }
  static task<result<void>> save(state& s, std::string progress) {
    s.saved = std::move(progress);
    s.log.push_back("save " + parse_list_progress(s.saved).cursor);
    co_return result<void>{};
  }

  account_lists& start(lists_rules rules) {
    rules.first_retry = 1ms;
    rules.now = [this] { return s.now; };
    lists_port port{.page = [this](list_request q) { return page(s, std::move(q)); },
                    .did_of = [](std::string handle) { return did_of(std::move(handle)); },
                    .follow = [this](words dids) { return follow(s, std::move(dids)); },
                    .mine = [](const std::string& d) { return d != did(9); },
                    .room = [this] { return s.room; },
                    .load = [this] { return load(s); },
                    .save = [this](std::string p) { return save(s, std::move(p)); },
                    .close = [this] { s.closed = true; }};
    lists.emplace(std::move(port), std::move(rules), counters);
    ended = false;
    s.closed = false;
    asio::co_spawn(io, lists->run(), [this](std::exception_ptr e) {
      if (e) std::rethrow_exception(e);
      ended = true;
    });
    return *lists;
  }
  bool finished() {
    return becomes(io, [this] { return lists->progress().finished != 0; });
  }
  void stop() {
    lists->close();
    REQUIRE(becomes(io, [this] { return ended; }));
  }

  asio::io_context io;
  state s;
  meters counters;
  std::optional<account_lists> lists;
  bool ended = false;
};

lists_rules all_of_relay() { return {.what = lists_rules::mode::all, .host = relay}; }

}  // namespace

TEST_CASE("Lists: every page is read, and its accounts are followed before the next page counts") {
  rig r;
  r.serve(relay + " hosts ", words{"https://a.example"}, "", 4);
  r.serve(relay + " repos ", {did(0), did(1)}, "2");
  r.serve(relay + " repos 2", words{}, "3");  // an empty page is not the end
  r.serve(relay + " repos 3", {did(2), did(9)});
  r.start(all_of_relay());
  REQUIRE(r.finished());
  CHECK(r.s.followed == words{did(0), did(1), did(2)});  // did(9) is of another process's partitions
  CHECK(r.lists->progress().found == 4);
  CHECK(r.lists->progress().expected == 4);
  CHECK(r.s.log == words{"page " + relay + " hosts ", "page " + relay + " repos ", "follow 2", "save 2",
                         "page " + relay + " repos 2", "save 3", "page " + relay + " repos 3", "follow 1", "save "});
  r.stop();
}

TEST_CASE("Lists: a restart goes on with the page that was not followed yet") {
  rig r;
  r.serve(relay + " repos ", {did(0)}, "2");
  r.serve(relay + " repos 2", status_500());
  r.start(all_of_relay());
  REQUIRE(becomes(r.io, [&] { return r.counters.value("lists", "status") > 0; }));
  CHECK(r.lists->last_error() == "HTTP 500");
  r.stop();
  r.s.asked.clear();
  r.s.pages[relay + " repos 2"].clear();
  r.serve(relay + " repos 2", words{did(1)});
  r.start(all_of_relay());
  REQUIRE(r.finished());
  CHECK(r.s.asked == words{relay + " repos 2"});
  CHECK(r.s.followed == words{did(0), did(1)});
  CHECK(r.lists->progress().found == 2);
  r.stop();

  SECTION("a reading that has finished is not repeated") {
    r.s.asked.clear();
    r.start(all_of_relay());
    settle_down(r.io);
    CHECK(r.s.asked.empty());
    r.stop();
  }
  SECTION("but it is after its time") {
    r.s.asked.clear();
    r.s.now += 7h;
    r.start(all_of_relay());
    REQUIRE(becomes(r.io, [&] { return r.s.asked.size() == 3; }));  // hosts, and two pages
    r.stop();
  }
  SECTION("nor does progress under other collections count") {
    r.s.asked.clear();
    auto rules = all_of_relay();
    rules.filter = "other";
    r.start(rules);
    REQUIRE(becomes(r.io, [&] { return r.s.asked.size() == 3; }));
    r.stop();
  }
  SECTION("progress of another list does not count") {
    r.s.asked.clear();
    r.serve(relay + " collection ", words{did(3)});
    r.start({.what = lists_rules::mode::signal, .collection = "a.b.c", .host = relay});
    REQUIRE(r.finished());
    CHECK(r.s.asked == words{relay + " collection "});
    r.stop();
  }
}

TEST_CASE("Lists: each host lists its own accounts, and one that can't be read keeps no other away") {
  rig r;
  auto rules = all_of_relay();
  rules.each_host = true;
  rules.max_of_host = 3;
  rules.page_cost = 1;
  r.serve(relay + " hosts ", {"https://a.example", "https://gone.example"}, "h", 5);
  r.serve(relay + " hosts h", {"https://liar.example", "https://b.example"}, "", 2);
  r.serve("https://a.example repos  unconfigured", {did(0)}, "1");
  r.serve("https://a.example repos 1 unconfigured", words{did(1)});
  r.serve("https://liar.example repos  unconfigured", {did(2), did(3), did(4), did(5)}, "more");
  r.serve("https://b.example repos  unconfigured", words{did(6)});
  r.start(rules);
  REQUIRE(r.finished());
  CHECK(r.s.followed == words{did(0), did(1), did(2), did(3), did(4), did(5), did(6)});
  CHECK(r.counters.value("lists", "host_failed") == 2);  // gone.example, and the one that lists too many
  CHECK(r.lists->progress().expected == 7);
  r.stop();
}

TEST_CASE("Lists: a host that has answered before is asked again for the same page") {
  rig r;
  auto rules = all_of_relay();
  rules.each_host = true;
  r.serve(relay + " hosts ", words{"https://a.example"});
  r.serve("https://a.example repos  unconfigured", {did(0)}, "1");
  r.serve("https://a.example repos 1 unconfigured", status_500());
  r.serve("https://a.example repos 1 unconfigured", words{did(1)});
  r.start(rules);
  REQUIRE(r.finished());
  CHECK(r.s.followed == words{did(0), did(1)});
  CHECK(r.lists->progress().passed_over == 0);
  r.stop();
}

TEST_CASE("Lists: a host whose pages are empty and without end is passed over") {
  rig r;
  auto rules = all_of_relay();
  rules.each_host = true;
  rules.max_of_host = 1000;
  r.serve(relay + " hosts ", {"https://trap.example", "https://b.example"});
  for (int n = 0; n < 50; ++n)
    r.serve(fmt::format("https://trap.example repos {} unconfigured", n ? std::to_string(n) : ""), words{},
            std::to_string(n + 1));
  r.serve("https://b.example repos  unconfigured", words{did(1)});
  r.start(rules);
  REQUIRE(r.finished());
  CHECK(r.s.asked.size() < 20);
  CHECK(r.s.followed == words{did(1)});
  CHECK(r.lists->progress().passed_over == 1);
  r.stop();
}

TEST_CASE("Lists: if the relay refuses its own cursor again and again, its list is read from the beginning") {
  rig r;
  r.s.saved = to_json({.of = all_of_relay().key_of_reading(), .cursor = "old", .found = 9});
  r.serve(relay + " repos old", status_500());
  r.serve(relay + " repos ", words{did(0)});
  r.start(all_of_relay());
  REQUIRE(r.finished());
  CHECK(r.s.followed == words{did(0)});
  CHECK(r.lists->progress().found == 1);
  r.stop();
}

TEST_CASE("Lists: a restart in the middle of a host's pages goes on there") {
  rig r;
  auto rules = all_of_relay();
  rules.each_host = true;
  r.s.saved = to_json({.of = rules.key_of_reading(),
                       .host = "https://b.example",
                       .cursor = "5",
                       .found = 3,
                       .expected = 9,
                       .begun = 1'699'999'990});
  r.serve(relay + " hosts ", {"https://a.example", "https://b.example", "https://c.example"}, "", 9);
  r.serve("https://b.example repos 5 unconfigured", words{did(0)});
  r.serve("https://c.example repos  unconfigured", words{did(1)});
  r.start(rules);
  REQUIRE(r.finished());
  CHECK(r.s.asked ==
        words{relay + " hosts ", "https://b.example repos 5 unconfigured", "https://c.example repos  unconfigured"});
  CHECK(r.lists->progress().found == 5);
  CHECK(r.lists->progress().expected == 9);
  r.stop();
}

TEST_CASE("Lists: names of the configuration; a handle without an account keeps no other away") {
  rig r;
  r.start({.what = lists_rules::mode::list, .names = {did(0), "nobody.example.com", "alice.example.com"}});
  REQUIRE(becomes(r.io, [&] { return r.counters.value("lists", "handle") >= 2; }));  // tried again
  CHECK(r.s.followed.size() >= 4);
  CHECK(r.s.followed[0] == did(0));
  CHECK(r.s.followed[1] == did(7));
  CHECK(r.lists->last_error() == "nobody.example.com names no account");
  CHECK(r.lists->progress().finished == 0);
  r.stop();
}

TEST_CASE("Lists: no page is read while too many accounts wait for a repair") {
  rig r;
  r.s.room = false;
  r.serve(relay + " repos ", words{did(0)});
  r.start(all_of_relay());
  settle_down(r.io);
  CHECK(r.s.followed.empty());
  r.s.room = true;
  REQUIRE(r.finished());
  CHECK(r.s.followed == words{did(0)});
  r.stop();
}

TEST_CASE("Lists: the time that is left follows from the accounts found so far") {
  list_progress p{.found = 100, .expected = 400, .begun = 1000};
  CHECK(p.left(1010) == 30s);
  CHECK_FALSE(p.left(1000));
  p.expected = 50;  // hosts say less than they have
  CHECK_FALSE(p.left(1010));
  p = {.found = 100, .expected = 400, .begun = 1000, .finished = 1005};
  CHECK_FALSE(p.left(1010));
}

TEST_CASE("The pace of repairs says how long the others will take") {
  stages::repair_pace pace;
  const stages::repair_pace::time start{};
  CHECK_FALSE(pace.left(10));
  pace.take(100, start);
  CHECK_FALSE(pace.left(10));
  pace.take(100, start + 10s);
  CHECK_FALSE(pace.left(10));  // none has ended
  pace.take(140, start + 20s);
  CHECK(pace.left(10) == 5s);
  pace.take(140, start + 200s);  // what was before the last minute no longer counts
  pace.take(140, start + 261s);
  CHECK_FALSE(pace.left(10));
}

TEST_CASE("Lists: progress is read as it was written, and anything else is none") {
  const list_progress p{.of = "x",
                        .hosts_cursor = "h",
                        .host = "y",
                        .cursor = "c",
                        .of_host = 7,
                        .passed_over = 8,
                        .found = 1,
                        .inactive = 2,
                        .expected = 3,
                        .begun = 4,
                        .finished = 5};
  CHECK(parse_list_progress(to_json(p)) == p);
  for (const char* other : {"", "[]", "{", "null", R"({"of":1,"found":"x","begun":-3})"})
    CHECK(parse_list_progress(other) == list_progress{});
}

TEST_CASE("Lists: the configuration says whose lists are read") {
  CHECK(lists_host_of_source("wss://relay.example") == "https://relay.example");
  CHECK(lists_host_of_source("ws://127.0.0.1:2470/xrpc/com.atproto.sync.subscribeRepos?x=1") ==
        "http://127.0.0.1:2470");
  config cfg;
  CHECK_FALSE(configured_lists(cfg));
  CHECK(configured_beginning(cfg) == beginning::with_wanted);
  cfg.repos.mode = "signal";
  cfg.repos.signal_collection = "a.b.c";
  CHECK(configured_lists(cfg)->what_is_read() == "the accounts with a.b.c of https://relay1.us-east.bsky.network");
  CHECK(configured_beginning(cfg) == beginning::with_signal);
  cfg.repos.mode = "all";
  cfg.repos.list_host = "https://Other.example/";
  CHECK(configured_lists(cfg)->host == "https://other.example");
  CHECK(configured_beginning(cfg) == beginning::with_any);
  cfg.repos.mode = "list";
  CHECK(configured_lists(cfg)->what == lists_rules::mode::list);
  CHECK(configured_beginning(cfg) == beginning::never);
}
