// Rule X21 for a view of accounts: the rows are the fold of the states in bucket `repo`, and of nothing else there.
#include "index_rig.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "recordkv/kv/wishes.hpp"

#include <map>
#include <ranges>

using namespace recordkv;
using namespace recordkv::test;

namespace {

std::string did(int n) { return fmt::format("did:plc:{:a>24}", n); }

std::string shown(const view::cell& c) {
  if (const auto* const s = std::get_if<std::string>(&c)) return *s;
  if (const auto* const n = std::get_if<std::int64_t>(&c)) return fmt::to_string(*n);
  return "-";
}

std::string flag(bool b) { return b ? "1" : "0"; }
std::string text(const std::string& s) { return s.empty() ? "-" : s; }

/// What the shipped view makes of a state, in the test's own words.
std::string row_of(const kv::repo_state& s) {
  return fmt::format("{} {} {} {} {} {} {}", text(s.handle), s.status, text(s.pds), s.rev, flag(s.complete),
                     flag(s.verified), text(s.error));
}

struct accounts_rig : view_rig {
  accounts_rig() : view_rig("accounts", "KV_repo", "$KV.repo.*.*") { cfg.index.views = {"builtin:accounts"}; }

  static std::string subject(const std::string& of) { return "$KV.repo." + kv::repo_key(of, 16); }
  void put(kv::repo_state s) {
    publish(subject(s.did), kv::to_json(s), {{"repair", "7"}});
    fold[s.did] = std::move(s);
  }
  /// A state that differs from the account's last one.
  void change(int account) {
    const auto n = ++changes_;
    kv::repo_state s{.did = did(account), .rev = fmt::format("3k{:2>11}", n)};
    s.handle = n % 3 == 0 ? "" : fmt::format("h{}.example.com", n);
    s.pds = n % 4 == 0 ? "" : "https://pds.example.com";
    s.complete = n % 2 == 0;
    s.verified = n % 5 != 0;
    if (n % 4 == 1) s.desynchronise("gap", fmt::format("event {} is missing", n));
    put(std::move(s));
  }
  /// The bucket was made anew, or set back. nats_rig::remove() does not suit a running stage, which may find the probe.
  /// Without it, nats-server may leave one state of before.
  void fold_what_stands() {
    fold.clear();
    for (std::uint64_t from = 1;;) {
      const auto m = run(nats::next_message(nc, "KV_repo", "$KV.repo.*.*", from));
      if (!m && m.error().code == errc::not_found) return;
      REQUIRE(m.has_value());
      from = m->seq + 1;
      if (auto s = kv::parse_repo_state(m->data); s && !m->data.empty()) fold[s->did] = std::move(*s);
    }
  }
  void remove(int account) {
    publish(subject(did(account)), "", {{"KV-Operation", "DEL"}});
    fold.erase(did(account));
  }

  std::map<std::string, std::string> rows() const {
    std::map<std::string, std::string> out;
    for (const auto& r : ask("accounts").rows) {
      std::string line;
      for (const auto& c : r | std::views::drop(1)) line += (line.empty() ? "" : " ") + shown(c);
      out[shown(r[0])] = line;
    }
    return out;
  }
  std::map<std::string, std::string> expected() const {
    std::map<std::string, std::string> out;
    for (const auto& [of, s] : fold) out[of] = row_of(s);
    return out;
  }
  void check() const {
    CHECK(rows() == expected());
    std::map<std::string, int> by_status;
    for (const auto& [of, s] : fold) ++by_status[s.status];
    std::map<std::string, int> counted;
    for (const auto& r : ask("accounts_by_status").rows)
      counted[shown(r[0])] = static_cast<int>(std::get<std::int64_t>(r[1]));
    CHECK(counted == by_status);
  }

  std::map<std::string, kv::repo_state> fold;

 private:
  int changes_ = 0;
};

}  // namespace

TEST_CASE("X21: the rows of a view of accounts equal the fold of the states, over restarts of the stage") {
  accounts_rig rig;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 30; ++i) rig.change(i % 17 + round);
    rig.start();
    for (int i = 0; i < 5; ++i) rig.remove(i + round);
    for (int i = 0; i < 10; ++i) rig.change(3 + i);
    REQUIRE(rig.folded());
    rig.check();
    REQUIRE(rig.stop().has_value());
  }
  const auto written = rig.rows_written;
  rig.start();
  rig.change(5);
  REQUIRE(rig.folded());
  REQUIRE(rig.stop().has_value());
  CHECK(rig.rows_written == written + 1);  // nothing of before came again
  rig.check();
  const auto meta = rig.run(kv::read_meta(rig.nc, "record"));
  REQUIRE(meta.has_value());
  CHECK(rig.position().created == meta->created);
  CHECK(rig.position().generation == meta->generation);
  CHECK(rig.ask("accounts").columns.front().name == "did");
  CHECK(rig.ask("accounts").columns[1].name == "handle");
}

TEST_CASE("a row stays while its account has a state, whatever its status, and goes with the key") {
  accounts_rig rig;
  rig.change(1);
  rig.change(2);
  rig.start();
  REQUIRE(rig.folded());
  rig.put({.did = did(1), .rev = "3k", .status = "deleted", .upstream_status = "deleted"});
  rig.remove(2);
  REQUIRE(rig.folded());
  CHECK(rig.rows() == std::map<std::string, std::string>{{did(1), "- deleted - 3k 0 0 -"}});
  rig.check();
  REQUIRE(rig.stop().has_value());
}

TEST_CASE("other keys of bucket repo are no accounts, and a value that is no state is a reject") {
  accounts_rig rig;
  rig.change(1);
  const auto other_partition = kv::partition_of(did(1), 16) == "5" ? "6" : "5";
  const words others{
      kv::wish_key(did(2)),
      "at.3",
      "x." + kv::encode_part(did(3)),                                  // no partition
      fmt::format("{}.{}", other_partition, kv::encode_part(did(1))),  // another one's
      kv::partition_of("did:plc:a") + ".did/3Aplc/3A/61",              // a second key of did:plc:a
      kv::partition_of("did:plc:\xc3\xa9") + ".did/3Aplc/3A/E9",       // bytes that no DID has
  };
  for (const auto& key : others) rig.publish("$KV.repo." + key, R"({"did":"did:plc:no","status":"synchronised"})");
  rig.publish(rig.subject(did(4)), "no JSON");
  rig.start();
  REQUIRE(rig.folded());
  rig.check();
  const auto rejects = rig.ask("accounts_rejects").rows;
  REQUIRE(rejects.size() == 1);
  CHECK(shown(rejects[0][0]) == "at://" + did(4));
  rig.publish("$KV.repo." + kv::wish_key(did(5)), "{}");
  rig.change(4);
  REQUIRE(rig.folded());
  CHECK(rig.ask("accounts_rejects").rows.empty());
  rig.check();
  REQUIRE(rig.stop().has_value());
}

TEST_CASE("X21: states of another store, or started anew, make the view of accounts anew, and it says so") {
  accounts_rig rig;
  for (int i = 0; i < 10; ++i) rig.change(i);
  rig.start();
  REQUIRE(rig.folded());
  REQUIRE(rig.stop().has_value());
  SECTION("the store recreated, and its states already more than before") {
    for (const auto* s : {"KV_record", "KV_repo"}) rig.nats_rig::remove(s);
    rig.open();
    rig.fold.clear();
    for (int i = 0; i < 30; ++i) rig.change(100 + i);
  }
  SECTION("bucket repo alone removed, and its states already more than before") {
    rig.nats_rig::remove("KV_repo");
    rig.open();
    rig.fold.clear();
    for (int i = 0; i < 30; ++i) rig.change(5 + i);
  }
  SECTION("another generation") {
    auto meta = rig.run(kv::read_meta(rig.nc, "record"));
    REQUIRE(meta.has_value());
    ++meta->generation;
    REQUIRE(rig.run(kv::write_meta(rig.nc, "record", *meta)).has_value());
    rig.change(50);
  }
  const auto before = rig.rows_written;
  rig.start();
  REQUIRE(rig.folded());
  rig.check();
  CHECK(
      rig.logged("view accounts: the store was recreated, restored or cut back since; rebuilding from its first key"));
  REQUIRE(rig.stop().has_value());
  CHECK(rig.rows_written == before + rig.fold.size());
}

TEST_CASE("X21: a bucket repo that vanishes or is cut back under the running stage is noticed") {
  accounts_rig rig;
  for (int i = 0; i < 10; ++i) rig.change(i);
  rig.start();
  REQUIRE(rig.folded());
  const auto before = rig.builds().live->number;
  SECTION("cut back") {
    rig.server.remember();
    REQUIRE(rig.waits_for([&] { return rig.nc.connects() == 2; }));
    const auto remembered = rig.fold;
    for (int i = 0; i < 5; ++i) rig.change(3 + i);
    rig.remove(7);
    REQUIRE(rig.folded());
    rig.check();
    rig.server.set_back();
    REQUIRE(rig.waits_for([&] { return rig.nc.connects() == 3; }));
    rig.fold_what_stands();
    CHECK(rig.fold == remembered);
  }
  SECTION("removed") { rig.api("STREAM.DELETE.KV_repo"); }
  const bool rebuilt = rig.waits_for([&] { return rig.builds().live->number > before && !rig.builds().next; });
  INFO(fmt::format("{}", fmt::join(rig.log.lines, "\n")));
  REQUIRE(rebuilt);
  rig.fold_what_stands();
  rig.change(99);
  REQUIRE(rig.folded());
  rig.check();
  REQUIRE(rig.stop().has_value());
}

TEST_CASE("X21: a view changes from records to accounts and back, and leaves no consumer behind") {
  accounts_rig rig;
  const std::string like = "app.bsky.feed.like";
  const auto records = fmt::format(
      "[[view]]\nname = \"accounts\"\ncollection = \"{}\"\ncolumns = [ {{ name = \"n\", pointer = \"/n\" }} ]\n", like);
  const std::string accounts =
      "[[view]]\nname = \"accounts\"\nsource = \"accounts\"\ncolumns = [ { name = \"n\", pointer = \"/status\" } ]\n";
  rig.cfg.index.views = {(rig.directory / "views.toml").string()};
  for (int i = 0; i < 40; ++i)  // the store is longer than bucket repo
    rig.publish("$KV.record." + kv::record_key::of(did(i), like, "1").text(), R"({"n":"of a record"})");
  for (int i = 0; i < 5; ++i) rig.change(i);
  const auto becomes = [&](const std::string& definition, std::size_t rows, const words& of_store,
                           const words& of_repo) {
    rig.define(definition);
    rig.start();
    CHECK(rig.waits_for([&] {
      const auto there = rig.builds();
      return there.live && !there.next && rig.ask("accounts").rows.size() == rows &&
             rig.durables("KV_record") == of_store && rig.durables("KV_repo") == of_repo;
    }));
    REQUIRE(rig.stop().has_value());
  };
  becomes(records, 40, {"view-accounts"}, {});
  becomes(accounts, 5, {}, {"view-accounts"});
  becomes(records, 40, {"view-accounts"}, {});
}

TEST_CASE("X21: two processes share a view of accounts by partition") {
  accounts_rig rig;
  for (int i = 0; i < 40; ++i) rig.change(i);
  auto other_cfg = rig.cfg;
  rig.cfg.index.assign = "0-7";
  other_cfg.index.assign = "8-f";
  stats_board board;
  stage_context ctx{rig.nc, other_cfg, rig.counters, {.api_level = rig.api_level()}, &board};
  auto other = stages::make_index(ctx);
  REQUIRE(other.has_value());
  std::optional<result<void>> other_ended;
  rig.start();
  asio::co_spawn(rig.io, (*other)->run(), [&](std::exception_ptr, result<void> r) { other_ended = r; });
  for (int i = 20; i < 60; ++i) rig.change(i);
  rig.remove(33);
  CHECK(rig.waits_for([&] { return rig.builds().live && !rig.builds().next && rig.rows() == rig.expected(); }));
  rig.remove(34);
  rig.change(35);
  CHECK(rig.waits_for([&] { return rig.rows() == rig.expected(); }));
  rig.check();
  (*other)->close();
  REQUIRE(rig.waits_for([&] { return other_ended.has_value(); }));
  CHECK(other_ended->has_value());
  REQUIRE(rig.stop().has_value());
}
