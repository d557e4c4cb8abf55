// X20: what the list of the last puts shows, and how accounts are marked after a loss. Pure parts.
#include "repair/last_puts.hpp"

#include "accounts/event_rules.hpp"
#include "kv_apply_rig.hpp"
#include "repair/loss_count.hpp"
#include "repair/loss_marks.hpp"

using namespace recordkv;
using namespace recordkv::test;
using namespace recordkv::stages;

namespace {

numbers seqs(const last_puts& l) {
  numbers out;
  for (const auto& p : l.kept()) out.push_back(p.seq);
  return out;
}

/// One put in each second.
last_puts puts_until(std::uint64_t last, std::chrono::milliseconds interval) {
  last_puts l;
  for (std::uint64_t n = 1; n <= last; ++n) {
    l.stored("key" + std::to_string(n), n);
    l.take_news(static_cast<std::int64_t>(n) * 1000, interval);
  }
  return l;
}

kv::repo_state state_of(std::string_view status, std::uint64_t at) {
  auto s = state_at(alice, 3);
  s.status = status;
  s.at = at;
  return s;
}

account gapped(std::string_view status) {
  account a;
  a.newest = state_of(status, 1);
  a.newest.key_checked = 77;
  return a;
}

}  // namespace

TEST_CASE("X20: the newest put is noted each time, and one an interval is kept, ten of them") {
  CHECK(seqs(puts_until(3, 10s)) == numbers{3, 1});
  CHECK(seqs(puts_until(12, 5s)) == numbers{12, 11, 6, 1});
  const auto many = puts_until(100, 1s);
  CHECK(seqs(many) == numbers{100, 99, 98, 97, 96, 95, 94, 93, 92, 91, 90});
  CHECK(many.kept()[0] == kept_put{.key = "key100", .seq = 100, .time = 100'000});

  const auto text = many.text("me");
  const auto read = last_puts::parse(text);
  CHECK(read.kept() == many.kept());
  CHECK_FALSE(read.has_news());
  CHECK(last_puts::writer_of(text) == "me");
  for (const auto* bad : {"", "[]", "{", R"({"puts":5})", R"({"puts":[5,{"seq":1}]})"})
    CHECK(last_puts::parse(bad).kept().empty());
}

TEST_CASE("X20: a put is news until it is noted, and an older one is none") {
  last_puts l = puts_until(2, 1s);
  l.stored("key2", 2);
  CHECK_FALSE(l.has_news());
  l.stored("key7", 7);
  l.stored("key5", 5);
  CHECK(l.has_news());
  CHECK(l.known().front() == kept_put{.key = "key7", .seq = 7});
  CHECK(l.newest_seq() == 7);
  l.take_news(9000, 1s);
  CHECK_FALSE(l.has_news());
  CHECK(l.known() == l.kept());
  l.stored("key8", 8);
  l.drop(1);
  CHECK_FALSE(l.has_news());
  CHECK(l.newest_seq() == 2);
}

TEST_CASE("X20: a lower sequence or none is a loss, a higher one proves nothing, the first that stands ends it") {
  const kept_put p{.key = "key", .seq = 10};
  CHECK(fate_of(p, std::nullopt) == put_fate::lost);
  CHECK(fate_of(p, 9) == put_fate::lost);
  CHECK(fate_of(p, 10) == put_fate::stands);
  CHECK(fate_of(p, 11) == put_fate::overwritten);

  puts_verdict v;
  CHECK_FALSE(v.take(p, put_fate::overwritten));
  CHECK(v.take({.key = "older", .seq = 4}, put_fate::stands));
  CHECK(v == puts_verdict{.lost = false, .standing = 4, .fallen = 1});
  puts_verdict w;
  CHECK_FALSE(w.take(p, put_fate::lost));
  CHECK_FALSE(w.take({.key = "older", .seq = 4}, put_fate::overwritten));
  CHECK(w == puts_verdict{.lost = true, .standing = std::nullopt, .fallen = 2});
}

TEST_CASE("X20: an account is marked if its state vouches for more than stands") {
  auto s = state_of("synchronised", 10);
  CHECK_FALSE(mark_taken_back(s, 10));
  CHECK(s == state_of("synchronised", 10));
  CHECK(mark_taken_back(s, 9));
  CHECK(s.status == "desynchronised");
  CHECK(s.reasons == words{"taken_back"});
  CHECK(marked_by_loss(s));
  CHECK_FALSE(only_source_gap(s));
  CHECK_FALSE(mark_taken_back(s, 9));  // once
  auto all = state_of("synchronised", 0);
  CHECK(mark_taken_back(all, std::nullopt));
}

TEST_CASE("X20: an account that is gone may have its keys back") {
  auto removed = state_of("removed", 10);
  CHECK(mark_taken_back(removed, 9));
  CHECK(is_to_be_cleared(removed));
  auto deleted = state_of("deleted", 10);
  deleted.upstream_status = "deleted";
  CHECK(mark_taken_back(deleted, 9));
  CHECK(deleted.status == "removing");
  CHECK(is_unconfirmed(deleted));
  auto inactive = state_of("inactive", 10);
  inactive.upstream_status = "deactivated";
  CHECK(mark_taken_back(inactive, 9));
  CHECK(inactive.stale());
  CHECK(is_unconfirmed(inactive));
  auto removing = state_of("removing", 10);
  CHECK_FALSE(mark_taken_back(removing, 9));
}

TEST_CASE("a gap of the source marks the accounts that are repaired, and makes their keys old") {
  auto a = gapped("synchronised");
  CHECK_FALSE(mark_source_gap(a, false));
  a.newest.followed = true;
  CHECK(mark_source_gap(a, false));
  CHECK(a.newest.key_checked == 0);
  CHECK(only_source_gap(a.newest));
  CHECK_FALSE(mark_source_gap(a, false));  // once

  a.newest.key_checked = 78;  // a check has begun: the new gap may be later than its answer
  a.journal = std::make_unique<commit_journal>("", a.newest.rev, a.newest.data);
  CHECK(mark_source_gap(a, true));
  CHECK_FALSE(a.journal->after(a.newest.rev, a.newest.data).has_value());

  auto stale = gapped("desynchronised");
  stale.newest.reasons = {"gap"};
  CHECK(mark_source_gap(stale, true));
  CHECK_FALSE(only_source_gap(stale.newest));
  auto inactive = gapped("inactive");
  inactive.newest.upstream_status = "deactivated";
  CHECK(mark_source_gap(inactive, true));
  CHECK(is_unconfirmed(inactive.newest));
  for (const auto* status : {"removing", "deleted", "removed"}) {
    auto gone = gapped(status);
    CHECK_FALSE(mark_source_gap(gone, true));
  }
  account unknown;
  CHECK_FALSE(mark_source_gap(unknown, true));
}

TEST_CASE("the repair after a loss is told in one line when its last account is done") {
  loss_count c;
  CHECK(c.close("a").empty());
  c.open("a");
  c.open("a");
  c.open("b");
  CHECK(c.waiting() == 2);
  c.resynced();
  c.differed(17);
  CHECK(c.close("a").empty());
  CHECK(c.close("b") == "the repair after a loss is done: 2 accounts checked, 1 resynced, 17 records differed");
  CHECK(c.close("b").empty());
  CHECK(c.waiting() == 0);
}
