// The pure parts of repairs: the journal of commits, the comparison of a repo with keys, the queue.
#include "accounts/commit_journal.hpp"
#include "recordkv/atproto/cid.hpp"
#include "repair/repair_queue.hpp"
#include "repair/repo_diff.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using namespace recordkv::stages;
using namespace std::chrono_literals;

namespace {

using paths = std::vector<std::string>;

commit_journal::commit commit(std::string rev, std::string before, std::string data, paths touched = {}) {
  return {.rev = std::move(rev), .data = std::move(data), .prev_data = std::move(before), .paths = std::move(touched)};
}

std::string word(const result<commit_journal::continuation>& r) { return r ? "" : r.error().text; }

std::string cid(std::string_view of) { return atproto::cid_of(of); }
std::string text(std::string_view of) { return atproto::cid_text(cid(of)); }

/// Records of a repo whose blocks don't matter. The CIDs are kept here.
struct made_repo {
  void add(std::string path, std::string_view of) {
    cids.push_back(std::make_unique<std::string>(cid(of)));
    records.push_back({std::move(path), *cids.back(), {}});
  }
  std::vector<std::unique_ptr<std::string>> cids;
  std::vector<atproto::exported_record> records;
};

bool all(const std::string&) { return true; }

const auto t0 = repair_queue::clock::time_point(1000s);

}  // namespace

// --- the journal ---

TEST_CASE("without commits meanwhile, the account stands where the export does") {
  const commit_journal j("3a", "", "");
  auto now = j.after("3c", "tree c");
  REQUIRE(now.has_value());
  CHECK(now->rev == "3c");
  CHECK(now->data == "tree c");
  CHECK(now->newer.empty());
}

TEST_CASE("X12: an export that is older than what is known is stale") {
  CHECK(word(commit_journal("3c", "", "").after("3b", "tree b")) == "stale");
  CHECK(word(commit_journal("3c", "", "").after("3c", "tree c")).empty());
  commit_journal j("3a", "", "");
  j.need("3d");
  CHECK(word(j.after("3c", "tree c")) == "stale");
  CHECK(word(j.after("3d", "tree d")).empty());
}

TEST_CASE("commits behind the export continue from its tree, and their paths are newer") {
  commit_journal j("3a", "", "");
  j.add(commit("3b", "tree a", "tree b", {"c/1"}));
  j.add(commit("3c", "tree b", "tree c", {"c/2"}));
  j.add(commit("3d", "tree c", "tree d", {"c/3"}));
  auto now = j.after("3b", "tree b");
  REQUIRE(now.has_value());
  CHECK(now->rev == "3d");
  CHECK(now->data == "tree d");
  CHECK(now->newer == std::unordered_set<std::string>{"c/2", "c/3"});
}

TEST_CASE("an export that none of the commits continues is asked for again") {
  commit_journal j("3a", "", "");
  j.add(commit("3c", "tree x", "tree c"));
  CHECK(word(j.after("3b", "tree b")) == "changed");
}

TEST_CASE("a host that gives another tree for a rev is at fault") {
  commit_journal j("3a", "", "");
  j.add(commit("3b", "tree a", "tree b"));
  CHECK(word(j.after("3b", "tree z")) == "faulty_host");
}

TEST_CASE("a host that gives another tree for the rev at which the account stood is at fault") {
  CHECK(word(commit_journal("3a", "3a", "tree a").after("3a", "tree z")) == "faulty_host");
  CHECK(word(commit_journal("3a", "3a", "tree a").after("3a", "tree a")).empty());
  CHECK(word(commit_journal("3a", "3a", "").after("3a", "tree z")).empty());
}

TEST_CASE("events without proofs continue from any tree") {
  commit_journal j("3a", "", "");
  j.add(commit("3b", "", "", {"c/1"}));
  j.add(commit("3c", "", "", {"c/2"}));
  auto now = j.after("3b", "tree b");
  REQUIRE(now.has_value());
  CHECK(now->rev == "3c");
  CHECK(now->newer == std::unordered_set<std::string>{"c/2"});
}

TEST_CASE("what is missing of an unknown rev, and too many commits, need a new export") {
  commit_journal unknown("3a", "", "");
  unknown.need("");
  CHECK(word(unknown.after("3z", "tree z")) == "changed");
  commit_journal many("3a", "", "");
  for (int i = 0; i < 30; ++i) many.add(commit("3b", "", "", paths(1000, "c/1")));
  CHECK(word(many.after("3a", "tree a")) == "changed");
}

// --- the comparison ---

TEST_CASE("new and changed records are put, vanished keys are deleted, and the rest is left alone") {
  made_repo repo;
  repo.add("a.b.c/1", "same");
  repo.add("a.b.c/2", "changed");
  repo.add("a.b.c/4", "new");
  const std::vector<kv::stored_key> keys{{"a.b.c", "0", text("gone"), 1},
                                         {"a.b.c", "1", text("same"), 2},
                                         {"a.b.c", "2", text("old"), 3},
                                         {"a.b.c", "3", text("gone"), 4},
                                         {"a.b.d", "1", text("gone"), 5}};
  const auto diff = compare(repo.records, keys, all, {});
  REQUIRE(diff.puts.size() == 2);
  CHECK(diff.puts[0].rkey == "2");
  CHECK(diff.puts[0].replaces);
  CHECK(diff.puts[0].cid == text("changed"));
  CHECK(diff.puts[1].rkey == "4");
  CHECK_FALSE(diff.puts[1].replaces);
  CHECK(diff.puts[1].record == 2);
  REQUIRE(diff.deletes.size() == 3);
  CHECK(diff.deletes[0].rkey == "0");
  CHECK(diff.deletes[1].rkey == "3");
  CHECK(diff.deletes[2].collection == "a.b.d");
  CHECK(diff.unchanged == 1);
}

TEST_CASE("a collection whose name begins another one's stands where its paths do") {
  made_repo repo;
  const std::vector<std::string> paths = {"a.b.c-d/1", "a.b.c.d/1", "a.b.c/1", "a.b.c/2", "a.b.c0/1"};  // ascending
  for (const auto& p : paths) repo.add(p, "same");
  for (std::size_t left_out = 0; left_out <= paths.size(); ++left_out) {
    std::vector<kv::stored_key> keys;
    for (std::size_t n = 0; n < paths.size(); ++n)
      if (n != left_out)
        keys.push_back(
            {paths[n].substr(0, paths[n].size() - 2), paths[n].substr(paths[n].size() - 1), text("same"), n});
    const auto diff = compare(repo.records, keys, all, {});
    CHECK(diff.deletes.empty());
    CHECK(diff.unchanged == keys.size());
    REQUIRE(diff.puts.size() == paths.size() - keys.size());
    if (!diff.puts.empty()) CHECK(diff.puts[0].record == left_out);
  }
}

TEST_CASE("keys of collections that are no longer wanted go") {
  made_repo repo;
  repo.add("a.b.c/1", "one");
  repo.add("a.b.d/1", "two");
  const std::vector<kv::stored_key> keys{{"a.b.c", "1", text("one"), 1}};
  const auto diff = compare(repo.records, keys, [](const std::string& c) { return c == "a.b.d"; }, {});
  CHECK(diff.deletes.size() == 1);
  REQUIRE(diff.puts.size() == 1);
  CHECK(diff.puts[0].collection == "a.b.d");
}

TEST_CASE("paths in which the store is newer are left alone") {
  made_repo repo;
  repo.add("a.b.c/1", "old");
  repo.add("a.b.c/2", "deleted since");
  const std::vector<kv::stored_key> keys{{"a.b.c", "1", text("newer"), 1}, {"a.b.c", "3", text("created since"), 2}};
  const auto diff = compare(repo.records, keys, all, {"a.b.c/1", "a.b.c/2", "a.b.c/3"});
  CHECK(diff.puts.empty());
  CHECK(diff.deletes.empty());
}

TEST_CASE("a value that another program has written is replaced") {
  made_repo repo;
  repo.add("a.b.c/1", "one");
  const auto diff = compare(repo.records, {{"a.b.c", "1", "", 1}}, all, {});
  REQUIRE(diff.puts.size() == 1);
  CHECK(diff.puts[0].replaces);
}

// --- the queue ---

TEST_CASE("accounts are taken when they are due, the earliest first") {
  repair_queue q(10);
  q.add("b", t0 + 2s);
  q.add("a", t0 + 1s);
  q.add("b", t0);       // earlier than before
  q.add("a", t0 + 9s);  // later than before: the earlier time counts
  CHECK(q.next() == t0);
  CHECK(q.take(t0 - 1s) == std::nullopt);
  CHECK(q.take(t0) == "b");
  CHECK(q.take(t0) == std::nullopt);
  CHECK(q.take(t0 + 1s) == "a");
  CHECK(q.under_repair() == 2);
}

TEST_CASE("an account under repair is due again only after its repair") {
  repair_queue q(10);
  q.add("a", t0);
  REQUIRE(q.take(t0) == "a");
  q.add("a", t0 + 1s);
  q.add("a", t0);
  CHECK(q.take(t0 + 5s) == std::nullopt);
  q.done("a");
  CHECK(q.take(t0 + 5s) == "a");
  q.done("a");
  CHECK(q.take(t0 + 5s) == std::nullopt);
  CHECK(q.under_repair() == 0);
}

TEST_CASE("the queue says how many accounts are due, not how many wait") {
  repair_queue q(9);
  CHECK(q.due(t0) == 0);
  q.add("a", t0);
  q.add("b", t0 + 1s);
  q.add("c", t0 + 1h);
  CHECK(q.due(t0) == 1);
  CHECK(q.due(t0 + 1s) == 2);
  CHECK(q.waiting() == 3);
}

TEST_CASE("a full queue drops the account that is due last, and says so") {
  repair_queue q(2);
  q.add("a", t0 + 1s);
  q.add("b", t0 + 3s);
  CHECK_FALSE(q.overflowed());
  q.add("c", t0 + 2s);
  CHECK(q.waiting() == 2);
  CHECK(q.overflowed());
  CHECK_FALSE(q.overflowed());
  CHECK(q.take(t0 + 9s) == "a");
  CHECK(q.take(t0 + 9s) == "c");
  CHECK(q.take(t0 + 9s) == std::nullopt);
}
