#include "network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace recordkv::sim {
namespace {

record_ptr record_of(const op& o, std::string path, std::uint64_t rev, std::uint64_t time_us, bool updated) {
  auto out = std::make_shared<record>(record{.path = std::move(path), .cid = o.cid, .cbor = o.cbor, .rev = rev});
  out->time_us = time_us;
  out->updated = updated;
  return out;
}

}  // namespace

std::string_view expectation(const account& a) noexcept {
  return a.status == account_status::active && a.lost ? "desynchronised" : repaired_expectation(a);
}

std::string_view repaired_expectation(const account& a) noexcept {
  if (a.status == account_status::deleted) return "gone";
  return a.status == account_status::active ? "equal" : "inactive";
}

network::network(const parameters& p, signed_parameters q, fault_plan plan, sink to)
    : world_(p), accounts_(world_, std::move(q)), plan_(std::move(plan)), sink_(std::move(to)), now_us_(p.base_us) {}

void network::next(std::uint64_t left) {
  left_ = left;
  const step& s = world_.next();
  now_us_ = std::max(now_us_ + 1, s.time_us);
  account& a = accounts_.at(s.account);
  if (a.status == account_status::deleted) return;
  if (s.kind != step_kind::commit) return about_account(s, a);
  if (!a.exists) create(a);
  const std::uint64_t rev = next_rev(a, s.rev);
  std::vector<change> changes = changes_of(a, s, rev);
  if (a.status == account_status::active)
    publish(a, std::move(changes), rev);
  else
    act_while_away(a, changes, rev);
}

void network::post(account& a) {
  now_us_ += 1'000;
  if (!a.exists) create(a);
  const std::uint64_t rev = next_rev(a, now_us_ << 10 | a.number % 1021);
  draw d(rules().seed ^ 0x905f, now_us_);
  const setting s{.author = a.did, .other = a.did, .post_author = a.did, .post = {}, .time_us = now_us_};
  record_writer w;
  write_record(w, collection::post, s, d);
  std::string rkey;
  write_rkey(rkey, collection::post, now_us_ << 10 | a.number % 1021);
  op o;
  o.cid = w.cid();
  o.cbor = w.cbor();
  const record_ptr r = record_of(o, fmt::format("{}/{}", nsid(collection::post), rkey), rev, now_us_, false);
  publish(a, {{r->path, r}}, rev);
}

// The order of events is the one of the reference PDS.
void network::create(account& a) {
  a.exists = true;
  a.generations = {{0, 0}};
  send_identity(a);
  send_account(a, {});
  const std::uint64_t rev = a.bridged ? std::uint64_t{1} << 10 : (now_us_ - 500'000) << 10 | a.number % 1021;
  begin_repo(a, rev);
}

void network::begin_repo(account& a, std::uint64_t rev) {
  const committed made = commit(a.repo, {}, rev, accounts_.author_of(a));
  const commit_message m = message_of(a, made, {});
  adopt(a, made, {});
  send(m);
  send_sync(a);
  a.heard = true;
}

std::uint64_t network::next_rev(const account& a, std::uint64_t wanted) const {
  if (a.bridged) wanted = a.repo.rev + (std::uint64_t{1} << 10);
  return std::max(a.repo.rev + 1, wanted);
}

// The world does not know what an account has: a create of what is there is an update here, and so on.
std::vector<change> network::changes_of(const account& a, const step& s, std::uint64_t rev) const {
  std::vector<change> out;
  for (const op& o : s.ops) {
    std::string path = fmt::format("{}/{}", nsid(o.where), o.rkey);
    const record* old = a.repo.records.find(path);
    if (o.what == action::remove) {
      if (old != nullptr) out.push_back({std::move(path), nullptr});
    } else if (old == nullptr || old->cid != o.cid) {
      record_ptr r = record_of(o, path, rev, now_us_, old != nullptr);
      out.push_back({std::move(path), std::move(r)});
    }
  }
  return out;
}

commit_message network::message_of(const account& a, const committed& made, std::span<const change> changes) const {
  commit_message m{.did = a.did,
                   .rev = made.after.rev,
                   .since = a.bridged ? 0 : a.repo.rev,
                   .time_us = now_us_,
                   .commit = made.after.commit,
                   .blocks = car_of_changes(made.after, changes),
                   .ops = made.ops};
  if (a.repo.rev != 0) m.prev_data = a.repo.data;
  return m;
}

void network::publish(account& a, std::vector<change> changes, std::uint64_t rev) {
  draw d(rules().seed ^ 0xfa17, ++commits_);
  const auto f = plan_.choose(a.number, left_, d, [&](fault kind) { return fits(kind, a, changes); });
  if (f == fault::bad_record) spoil(a, changes, rev);
  committed made = commit(a.repo, changes, rev, accounts_.author_of(a));
  commit_message message = message_of(a, made, changes);
  offer o{.who = a, .changes = changes, .made = std::move(made), .message = std::move(message)};
  if (f && !shows_after(*f)) happened(*f, a, rev, seq_ + 1);
  if (!f || show(*f, o)) {
    send(o.message);
    a.heard = true;
  }
  adopt(a, o.made, changes);
  if (f && shows_after(*f)) show_after(*f, o);
}

void network::adopt(account& a, const committed& made, std::span<const change> changes) {
  for (const change& c : changes) {
    if (c.value == nullptr)
      a.removed[c.path] = {made.after.rev, now_us_};
    else if (!a.removed.empty())
      a.removed.erase(c.path);
  }
  old_repos_.keep(a.number, std::exchange(a.repo, made.after));
}

void network::empty_commit(account& a) {
  const committed made = commit(a.repo, {}, next_rev(a, now_us_ << 10 | a.number % 1021), accounts_.author_of(a));
  const commit_message m = message_of(a, made, {});
  adopt(a, made, {});
  send(m);
}

void network::about_account(const step& s, account& a) {
  if (!a.exists || a.status != account_status::active) return;
  if (s.kind == step_kind::identity)
    send_identity(a);
  else
    send_account(a, {}), a.disowned = false;
}

void network::act_while_away(account& a, std::span<const change> changes, std::uint64_t rev) {
  adopt(a, commit(a.repo, changes, rev, accounts_.author_of(a)), changes);
  if (a.away > 0 && --a.away == 0) come_back(a);
}

void network::send_sync(const account& a) {
  const std::uint64_t seq = take_seq();
  sink_(seq, sync_message(a.did, a.repo, now_us_, seq));
}

void network::send_identity(const account& a) {
  const std::uint64_t seq = take_seq();
  sink_(seq, identity_message(a.did, accounts_.handle_of(a), now_us_, seq));
}

void network::send_account(const account& a, std::string_view status) {
  const std::uint64_t seq = take_seq();
  sink_(seq, account_message(a.did, status, now_us_, seq));
}

}  // namespace recordkv::sim
