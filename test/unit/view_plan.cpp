#include "recordkv/view/plan.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using namespace recordkv::view;

namespace {

plan likes() {
  return {.name = "likes",
          .collections = {"app.bsky.feed.like"},
          .each = {},
          .columns = {{.name = "subject", .pointer = "/subject/uri", .required = true, .fallback = {}},
                      {.name = "created_at", .pointer = "/createdAt", .fallback = {}}},
          .where = {{.what = term::kind::equals, .pointer = "/a", .operand = "1"}},
          .count_by = {"subject"},
          .indexes = {{"subject"}},
          .on_put = {},
          .on_delete = {},
          .definition = {},
          .file = {}};
}

}  // namespace

TEST_CASE("the hash changes with whatever changes rows or their shape, and with nothing else") {
  const plan p = likes();
  CHECK(p.hash() == likes().hash());
  CHECK(p.hash().size() == 16);
  CHECK(p.hash().find_first_not_of("0123456789abcdef") == std::string::npos);
  const auto differs = [&](auto change) {
    plan q = likes();
    change(q);
    return q.hash() != p.hash();
  };
  CHECK(differs([](plan& q) { q.name = "loves"; }));
  CHECK(differs([](plan& q) { q.rows_of = source::accounts; }));
  CHECK(differs([](plan& q) { q.collections = {"app.bsky.feed.repost"}; }));
  CHECK(differs([](plan& q) { q.collections.push_back("app.bsky.feed.repost"); }));
  CHECK(differs([](plan& q) { q.each = "/facets"; }));
  CHECK(differs([](plan& q) { q.links = true; }));
  CHECK(differs([](plan& q) { q.columns[0].name = "target"; }));
  CHECK(differs([](plan& q) { q.columns[0].pointer = "/subject/cid"; }));
  CHECK(differs([](plan& q) { q.columns[0].type = column_type::json; }));
  CHECK(differs([](plan& q) { q.columns[0].from = origin::record; }));
  CHECK(differs([](plan& q) { q.columns[0].at_uri = true; }));
  CHECK(differs([](plan& q) { q.columns[0].required = false; }));
  CHECK(differs([](plan& q) { q.columns[0].fallback = ""; }));
  CHECK(differs([](plan& q) { q.columns.pop_back(); }));
  CHECK(differs([](plan& q) { std::swap(q.columns[0], q.columns[1]); }));
  CHECK(differs([](plan& q) { q.where[0].operand = "2"; }));
  CHECK(differs([](plan& q) { q.where[0].pointer = "/b"; }));
  CHECK(differs([](plan& q) { q.where[0].what = term::kind::prefix; }));
  CHECK(differs([](plan& q) { q.where[0].of_record = true; }));
  CHECK(differs([](plan& q) { q.count_by.clear(); }));
  CHECK(differs([](plan& q) { q.indexes.clear(); }));
  CHECK(differs([](plan& q) { q.indexes = {{"subject", "created_at"}}; }));
  CHECK(differs([](plan& q) { q.on_put = "DELETE FROM {table}"; }));
  CHECK(differs([](plan& q) { q.on_delete = "DELETE FROM {table}"; }));
  CHECK(differs([](plan& q) { q.definition = "x"; }));
  CHECK_FALSE(differs([](plan& q) { q.file = "elsewhere.toml", q.line = 7; }));
  plan a = p;
  plan b = p;
  a.columns = {{.name = "ab", .pointer = "/c", .fallback = {}}};
  b.columns = {{.name = "a", .pointer = "b/c", .fallback = {}}};
  CHECK(a.hash() != b.hash());
  a.columns[0].fallback = std::int64_t{1};
  b = a;
  b.columns[0].fallback = "1";
  CHECK(a.hash() != b.hash());
}

TEST_CASE("a filter never catches a longer name by accident") {
  plan p = likes();
  p.collections = {"app.bsky.feed.like", "app.bsky.graph.*"};
  CHECK(p.wants("app.bsky.feed.like"));
  CHECK_FALSE(p.wants("app.bsky.feed.like2"));
  CHECK_FALSE(p.wants("app.bsky.feed.like.more"));
  CHECK_FALSE(p.wants("app.bsky.feed"));
  CHECK(p.wants("app.bsky.graph.follow"));
  CHECK(p.wants("app.bsky.graph.list.item"));
  CHECK_FALSE(p.wants("app.bsky.graph"));
  CHECK_FALSE(p.wants("app.bsky.graphics.card"));
  CHECK_FALSE(p.wants("app.bsky.feed.post"));
  p.collections = {"*"};
  CHECK(p.wants("com.example.record"));
}
