// The simulated network testifies against recordkv, so it is cross-examined first: against the contract's own worked
// examples, and against a second fold of its events that shares nothing with the first but the JSON parser.

#include "../simulator/feed.hpp"
#include "../simulator/jetstream.hpp"
#include "../simulator/truth.hpp"

#include <boost/json.hpp>
#include <catch2/catch_test_macros.hpp>

#include <map>
#include <set>
#include <sstream>

using namespace recordkv::sim;
namespace json = boost::json;

namespace {

const parameters rules{.seed = 11, .accounts = 5'000};

std::vector<std::string> texts_of(const parameters& p, std::size_t count) {
  std::vector<std::string> out;
  for (world w(p); out.size() < count;) {
    const step& s = w.next();
    for (std::size_t i = 0; i < s.events() && out.size() < count; ++i)
      append_jetstream(out.emplace_back(), s, i, w.did(s.account));
  }
  return out;
}

std::string text_of(const json::value& v) { return std::string(v.get_string()); }

}  // namespace

TEST_CASE("the simulator's keys are those of the contract") {
  // atproto-sync.md §17.4, computed by running the reference
  CHECK(key_of("did:plc:l3rouwludahu3ui3bt66mfvj", "app.bsky.feed.like", "3k5nobkf2w72g", 16) ==
        "1.app.bsky.feed.like.did/3Aplc/3Al3rouwludahu3ui3bt66mfvj.3k5nobkf2w72g");
  CHECK(key_of("did:web:localhost%3A3000", "com.example.thing", "~1.2-3_", 16) ==
        "1.com.example.thing.did/3Aweb/3Alocalhost/253A3000./7E1/2E2-3_");
  CHECK(partition_of("did:plc:3dxeoy4hmcfzrztuyyts6uuw", 16) == "3");  // hash 03b33a82: the first digit is not it
  CHECK(partition_of("did:plc:joptu6d2nwwdsvdvsb74pwrv", 16) == "8");  // 008bc5fc
  CHECK(partition_of("did:plc:zeropartitionaaaaal2cl3b", 16) == "0");  // 00000008
  CHECK(partition_of("did:plc:3dxeoy4hmcfzrztuyyts6uuw", 32) == "02");
  CHECK(partition_of("a", 7) == std::to_string(0x3c2569b2U % 7));
}

TEST_CASE("names have their form") {
  CHECK(tid_text(0) == "2222222222222");
  CHECK(tid_text(1'767'225'600'000'000ULL << 10) < tid_text((1'767'225'600'000'000ULL << 10) + 1));
  CHECK(did_of(7, 1) != did_of(7, 2));
  CHECK(did_of(7, 1) != did_of(8, 1));
  std::string time;
  append_time(time, 1'772'236'799'123'456, 6);  // a day before 1 March of no leap year
  CHECK(time == "2026-02-27T23:59:59.123456Z");
  time.clear();
  append_time(time, 1'709'164'800'000'000, 3);
  CHECK(time == "2024-02-29T00:00:00.000Z");
  record_writer empty;
  empty.open_map(0), empty.close_map();
  std::string text;
  empty.cid().append_text(text);
  CHECK(text == "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua");
}

TEST_CASE("the same seed is the same network, another is another") {
  const auto once = texts_of(rules, 3'000);
  CHECK(once == texts_of(rules, 3'000));
  parameters other = rules;
  other.seed = 12;
  CHECK(once != texts_of(other, 3'000));
}

TEST_CASE("an independent fold of the events equals the truth") {
  constexpr std::size_t count = 20'000;
  std::map<std::string, std::pair<std::string, json::value>> fold;  // uri -> operation, record
  for (const std::string& text : texts_of(rules, count)) {
    const json::value e = json::parse(text);
    if (e.at("kind") != "commit") continue;
    const json::object& c = e.at("commit").get_object();
    const json::value* record = c.if_contains("record");
    CHECK((record == nullptr) == (c.at("operation") == "delete"));
    fold["at://" + text_of(e.at("did")) + "/" + text_of(c.at("collection")) + "/" + text_of(c.at("rkey"))] = {
        text_of(c.at("operation")), record ? *record : json::value()};
  }

  std::stringstream file;
  truth_after(rules, count, 16).write(file, rules, count);
  std::string line, last;
  std::getline(file, line);
  CHECK(line.starts_with("# seed=11 accounts=5000 "));
  std::size_t lines = 0, wrong = 0;
  for (; std::getline(file, line); ++lines) {
    std::vector<std::string> part;
    std::istringstream fields(line);
    for (std::string field; std::getline(fields, field, '\t');) part.push_back(field);
    part.resize(8);
    CHECK(last < part[0]);
    last = part[0];
    const auto found = fold.find(part[2]);
    REQUIRE(found != fold.end());
    wrong += found->second.first != part[5];
    wrong += (part[1] == "live") != (part[5] != "delete");
    wrong += part[1] == "live" && json::parse(part[7]) != found->second.second;
  }
  CHECK(lines == fold.size());
  CHECK(wrong == 0);
}

TEST_CASE("revs rise, times rise, no commit touches a path twice or more than two hundred") {
  world w(rules);
  std::map<std::uint32_t, std::uint64_t> revs;
  std::uint64_t time = 0, next = 0;
  std::size_t largest = 0, old_clock = 0;
  while (next < 60'000) {
    const step& s = w.next();
    REQUIRE(s.first == next);
    next += s.events();
    if (s.kind != step_kind::commit) continue;
    REQUIRE(s.rev > revs[s.account]);
    revs[s.account] = s.rev;
    old_clock += (s.rev >> 10) < 1'000'000'000;
    std::set<std::string> paths;
    for (const op& o : s.ops) {
      REQUIRE(o.time_us > time);
      time = o.time_us;
      REQUIRE(paths.insert(std::string(nsid(o.where)) + "/" + o.rkey).second);
    }
    largest = std::max(largest, s.ops.size());
  }
  CHECK(largest >= 100);
  CHECK(largest <= 200);
  CHECK(old_clock > 0);
}

TEST_CASE("shares are those of the live network") {
  world w(rules);
  std::map<action, double> actions;
  std::map<collection, double> kinds;
  double events = 0, others = 0;
  while (events < 200'000) {
    const step& s = w.next();
    events += static_cast<double>(s.events());
    if (s.kind != step_kind::commit) ++others;
    for (const op& o : s.ops) {
      ++actions[o.what];
      if (o.what == action::create) ++kinds[o.where];
    }
  }
  const auto near = [](double share, double expected, double by) {
    return share > expected - by && share < expected + by;
  };
  CHECK(near(actions[action::create] / events, 0.955, 0.01));
  CHECK(near(actions[action::update] / events, 0.006, 0.002));
  CHECK(near(actions[action::remove] / events, 0.039, 0.008));
  CHECK(near(kinds[collection::like] / actions[action::create], 0.70, 0.03));
  CHECK(near(kinds[collection::post] / actions[action::create], 0.12, 0.02));
  CHECK(near(kinds[collection::repost] / actions[action::create], 0.10, 0.02));
  CHECK(near(kinds[collection::follow] / actions[action::create], 0.06, 0.02));
  CHECK(near(others / events, 0.0008, 0.0004));
}

TEST_CASE("the stepped law is bounded and falls") {
  draw d(1, 1);
  const zipf pick(1000, 8);
  std::map<std::uint32_t, int> seen;
  for (int i = 0; i < 100'000; ++i) ++seen[pick(d)];
  CHECK(seen.rbegin()->first < 1000);
  CHECK(seen[0] > 5 * seen[100]);
  CHECK(seen[100] > 2 * seen[900]);
  const zipf one(1, 64);
  CHECK(one(d) == 0);
}

TEST_CASE("a history finds its events by time, and forgets in order") {
  history h(1000);
  const std::string text(2000, 'x');
  for (std::uint64_t i = 0; i < 5'000; ++i) h.append(text, 10 * i, 0);
  CHECK(h.end() == 5'000);
  CHECK(h.oldest() > 0);
  CHECK(h.end() - h.oldest() >= 1000);
  CHECK(h.find(0) == h.oldest());
  CHECK(h.find(49'000) == 4'900);
  CHECK(h.find(48'991) == 4'900);
  CHECK(h.find(1'000'000) == 5'000);
  CHECK(h.at(4'900)->frame(4'900 - h.at(4'900)->first).substr(4) == text);
}
