#include "world.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::sim {
namespace {

constexpr std::size_t kept_limit = 1 << 18;  // beyond it a record is forgotten here, and so lives for ever
constexpr std::size_t gone_limit = 256;
constexpr std::size_t bulk_limit = 64;
constexpr std::uint32_t post_limit = 4096;
constexpr std::uint32_t early_posts = 64;
constexpr std::uint32_t churned_keys = 48;

template <class T>
T take(std::vector<T>& from, std::uint32_t at) {
  T out = std::move(from[at]);
  if (at + 1 != from.size()) from[at] = std::move(from.back());
  from.pop_back();
  return out;
}

template <class T>
void put_bounded(std::vector<T>& into, std::size_t limit, T item, draw& d) {
  if (into.size() < limit)
    into.push_back(std::move(item));
  else
    into[d.below(static_cast<std::uint32_t>(limit))] = std::move(item);
}

template <class T>
std::uint32_t any_of(const std::vector<T>& v, draw& d) {
  return d.below(static_cast<std::uint32_t>(v.size()));
}

}  // namespace

bool bridged(std::uint32_t account) noexcept { return account % 512 == 77; }

std::string_view name(action a) noexcept {
  return a == action::create ? "create" : a == action::update ? "update" : "delete";
}

world::world(const parameters& p) : rules_(p), revs_(p.accounts), who_(p.accounts, 64) {
  dids_.reserve(32 * std::size_t{p.accounts});
  for (std::uint32_t a = 0; a < p.accounts; ++a) dids_ += did_of(p.seed, a);
  for (std::uint32_t a = 0; a < p.accounts; ++a)
    if (bridged(a)) revs_[a] = (10'000'000 + std::uint64_t{a}) << 10;
  settle_early_posts();
  pick_churned_keys();
}

// What the first likes refer to: posts that no event ever mentions.
void world::settle_early_posts() {
  draw d(rules_.seed, ~std::uint64_t{0});
  for (std::uint32_t i = 0; i < early_posts; ++i) {
    post_ref post{.account = who_(d), .tid = (rules_.base_us - 1 - d.below(1'000'000'000)) << 10};
    for (auto& byte : post.cid.hash) byte = static_cast<unsigned char>(d.next());
    posts_.push_back(post);
  }
}

void world::pick_churned_keys() {
  draw d(rules_.seed, ~std::uint64_t{1});
  constexpr std::array kinds = {collection::like,       collection::like,  collection::like,    collection::post,
                                collection::like_extra, collection::camel, collection::hyphens, collection::stream};
  for (std::uint32_t i = 0; i < churned_keys; ++i) {
    churned c{.account = who_(d), .where = kinds[i % kinds.size()], .rkey = {}, .live = false};
    write_rkey(c.rkey, c.where, (rules_.base_us - 2'000'000'000 - i) << 10 | clock_of(c.account));
    churned_.push_back(std::move(c));
  }
}

std::uint64_t world::time_of(std::uint64_t index) const noexcept {
  // a little unevenness, always less than a step, so that order is kept
  return rules_.base_us + index * rules_.step_us +
         mix(rules_.seed ^ index) % std::max<std::uint64_t>(rules_.step_us / 2, 1);
}

std::uint64_t world::next_rev(std::uint32_t account, draw& d) {
  const std::uint64_t last = revs_[account];
  if (bridged(account)) return revs_[account] = last + (std::uint64_t{1 + d.below(9)} << 10);
  // hosts' clocks are late by up to 0.2 s, so that the next rev may be the last one plus one
  const std::uint64_t now = (step_.time_us - d.below(200'000)) << 10 | clock_of(account);
  return revs_[account] = std::max(last + 1, now);
}

void world::begin(std::uint32_t account, draw& d) {
  step_.account = account;
  step_.rev = next_rev(account, d);
}

op& world::add(action what, collection where) {
  if (used_ == ops_.size()) ops_.emplace_back();
  op& o = ops_[used_];
  o.what = what;
  o.where = where;
  o.record.clear();
  o.cbor.clear();
  o.time_us = time_of(index_ + used_);
  ++used_;
  return o;
}

void world::fill(op& o, draw& d) {
  static constexpr zipf popular(post_limit, 4);
  const post_ref& post = posts_[popular(d) % posts_.size()];
  setting s{.author = did(step_.account),
            .other = did(who_(d)),
            .post_author = did(post.account),
            .post = post,
            .time_us = o.time_us};
  writer_.clear();
  write_record(writer_, o.where, s, d);
  o.record = writer_.json();
  o.cbor = writer_.cbor();
  o.cid = writer_.cid();
}

void world::create(collection where, std::uint64_t tid, draw& d) {
  op& o = add(action::create, where);
  if (tid == 0) tid = o.time_us << 10 | clock_of(step_.account);  // no two events share a time, so no two records a key
  write_rkey(o.rkey, where, tid);
  fill(o, d);
  if (where == collection::post) like_from_now_on(o, tid, d);
}

void world::like_from_now_on(const op& o, std::uint64_t tid, draw& d) {
  put_bounded(posts_, post_limit, post_ref{.account = step_.account, .tid = tid, .cid = o.cid}, d);
}

void world::keep(kept k, draw& d) { put_bounded(kept_, kept_limit, k, d); }

collection world::some_collection(draw& d) const noexcept {
  const std::uint32_t r = d.below(1000);
  if (r < 700) return collection::like;
  if (r < 820) return collection::post;
  if (r < 920) return collection::repost;
  if (r < 980) return collection::follow;
  constexpr std::array rest = {collection::block,      collection::list,  collection::listitem, collection::threadgate,
                               collection::like_extra, collection::camel, collection::hyphens,  collection::stream};
  return rest[d.below(rest.size())];
}

const step& world::next() {
  draw d(rules_.seed, index_);
  used_ = 0;
  step_.kind = step_kind::commit;
  step_.first = index_;
  step_.time_us = time_of(index_);
  plan(d);
  step_.ops = std::span<const op>(ops_.data(), used_);
  index_ += step_.events();
  return step_;
}

// Of a million steps; the shares of events that come of it are those of the live network
// (test/unit/simulator_world.cpp).
void world::plan(draw& d) {
  std::uint32_t r = d.below(1'000'000);
  const auto is = [&r](std::uint32_t share) { return r < share || (r -= share, false); };
  if (is(800)) {
    step_.kind = r < 610 ? step_kind::identity : step_kind::account;
    step_.account = who_(d);
    step_.rev = 0;
    return;
  }
  if (is(rules_.churn)) return churn(d);
  if (is(4'500)) return update_profile(d);
  if (is(33'000) && !kept_.empty()) return forget_something(d);
  if (is(600)) return forget_the_unknown(d);
  if (is(2'000) && !gone_.empty()) return bring_back(d);
  if (is(700) && !bulks_.empty()) return undo_many(d);
  if (is(8'000)) return many(2 + d.below(9), d);
  if (is(150)) return many(100 + d.below(101), d);
  begin(who_(d), d);
  const collection where = some_collection(d);
  create(where, 0, d);
  keep({step_.account, where, ops_[0].time_us << 10 | clock_of(step_.account)}, d);
}

void world::churn(draw& d) {
  churned& key = churned_[any_of(churned_, d)];
  begin(key.account, d);
  const action what = !key.live ? action::create : d.one_in(3) ? action::remove : action::update;
  op& o = add(what, key.where);
  o.rkey = key.rkey;
  key.live = what != action::remove;
  if (key.live) fill(o, d);
}

// Accounts have had their profile since before the first event, so an update is the first that is heard of it.
void world::update_profile(draw& d) {
  begin(who_(d), d);
  op& o = add(action::update, collection::profile);
  write_rkey(o.rkey, collection::profile, 0);
  fill(o, d);
}

void world::forget_something(draw& d) {
  const kept k = take(kept_, any_of(kept_, d));
  begin(k.account, d);
  write_rkey(add(action::remove, k.where).rkey, k.where, k.tid);
  put_bounded(gone_, gone_limit, k, d);
}

// A record from before the first event: the mirror hears of its end only.
void world::forget_the_unknown(draw& d) {
  begin(who_(d), d);
  const std::uint64_t tid = (rules_.base_us - 1 - d.below(1'000'000'000)) << 10;
  write_rkey(add(action::remove, collection::like).rkey, collection::like, tid);
}

// The same key again, with another value.
void world::bring_back(draw& d) {
  const kept k = take(gone_, any_of(gone_, d));
  begin(k.account, d);
  create(k.where, k.tid, d);
  keep(k, d);
}

void world::many(std::uint32_t count, draw& d) {
  begin(who_(d), d);
  bulk b{.account = step_.account, .where = some_collection(d), .tids = {}};
  for (std::uint32_t i = 0; i < count; ++i) {
    create(b.where, 0, d);
    b.tids.push_back(ops_[i].time_us << 10 | clock_of(step_.account));
  }
  put_bounded(bulks_, bulk_limit, std::move(b), d);
}

// A large commit is taken back, and half of the time something else is written in the same breath.
void world::undo_many(draw& d) {
  const bulk b = take(bulks_, any_of(bulks_, d));
  begin(b.account, d);
  const bool replace = b.tids.size() <= 100 && d.one_in(2);  // a commit holds at most 200 ops
  for (const std::uint64_t tid : b.tids) {
    write_rkey(add(action::remove, b.where).rkey, b.where, tid);
    if (replace) create(b.where, 0, d);
  }
}

}  // namespace recordkv::sim
