// How each fault looks on the stream.
//
// Owns: the false messages, and what becomes of the account.
// Does not know: when a fault is due.

#include "network.hpp"

#include "../cbor_writer.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace recordkv::sim {
namespace {

bool is_fresh(const account& a, const change& c) {
  return c.value != nullptr && a.repo.records.find(c.path) == nullptr && !a.removed.contains(c.path);
}

std::string false_record(std::string_view text) {
  record_writer w;
  w.open_map(2);
  w.pair("text", text);
  w.pair("$type", nsid(collection::post));
  w.close_map();
  return w.cbor();
}

account_status status_after(fault f) {
  switch (f) {
    case fault::deactivated: return account_status::deactivated;
    case fault::takendown: return account_status::takendown;
    case fault::suspended: return account_status::suspended;
    default: return account_status::deleted;
  }
}

change false_post(std::uint64_t rev, std::string_view text) {
  auto r = std::make_shared<record>();
  r->path = fmt::format("{}/{}", nsid(collection::post), tid_text(rev));
  r->cbor = false_record(text);
  r->cid = cid::of(r->cbor);
  return {r->path, r};
}

// Well ordered, but it holds a floating-point number, which the data model forbids.
std::string record_with_a_float(std::string_view type) {
  cbor_writer w;
  w.text("$type"), w.text(type);
  return "\xa2\x61n\xfb" + std::string("\x3f\xf8\0\0\0\0\0\0", 8) + w.bytes();
}

}  // namespace

bool network::fits(fault f, const account& a, std::span<const change> changes) const {
  if (f == fault::disconnect) return true;
  if (!a.heard) return false;
  if (loses_commit(f) || f == fault::op_left_out || f == fault::no_prev_data) return !changes.empty();
  if (f == fault::bad_record) return std::ranges::any_of(changes, [&](const change& c) { return is_fresh(a, c); });
  if (f == fault::migrated) return accounts_.rules().pds.size() > 1;
  return f != fault::reactivated;
}

void network::happened(fault f, account& a, std::uint64_t rev, std::uint64_t seq) {
  a.faults |= 1U << static_cast<unsigned>(f);
  if (desynchronises(f)) a.lost = true;
  if (f == fault::false_deleted) a.disowned = true;
  const bool equal = !desynchronises(f) && !sends_away(f) && f != fault::deleted;
  log_.add({.kind = name(f),
            .did = a.did,
            .seq = seq,
            .rev = rev,
            .expect = equal                 ? "equal"
                      : desynchronises(f)   ? "desynchronised"
                      : f == fault::deleted ? "gone"
                                            : "inactive"});
}

// Sends what comes before the commit or in its place, or changes the commit's message. True: that is still to be sent.
bool network::show(fault f, offer& o) {
  switch (f) {
    case fault::forged:
    case fault::future_rev: return show_rival(f, o), true;
    case fault::mutated: return send_mutated(o), true;
    case fault::foreign: return o.message.foreign = true;
    case fault::corrupted: return send_mutated(o), false;
    case fault::wrong_key:
    case fault::high_s: return show_rival(f, o), false;
    case fault::wrong_prev_data: o.message.prev_data = cid::of("the root of no tree"); return true;
    case fault::no_prev_data: o.message.prev_data.reset(); return true;
    case fault::op_left_out: o.message.ops.erase(o.message.ops.begin() + commits_ % o.message.ops.size()); return true;
    case fault::seq_back: {
      const std::uint64_t seq = take_seq();
      sink_(seq, encode(o.message, seq - std::min<std::uint64_t>(seq - 1, 1'000)));
      return false;
    }
    case fault::gap: return take_seq(), false;
    case fault::sync_moved: return false;
    default: return true;
  }
}

void network::show_after(fault f, const offer& o) {
  happened(f, o.who, o.made.after.rev, f == fault::repeat ? seq_ : seq_ + 1);
  switch (f) {
    case fault::replay: return send(o.message);
    case fault::repeat: return sink_(seq_, encode(o.message, seq_));
    case fault::sync:
    case fault::sync_moved: return send_sync(o.who);
    case fault::rotation:
    case fault::rotation_silent:
    case fault::rotation_late: return rotate(f, o.who);
    case fault::handle: return ++o.who.handles, send_identity(o.who);
    case fault::deactivated:
    case fault::takendown:
    case fault::suspended: leave(f, o.who, 3); return;
    case fault::deleted: leave(f, o.who, -1); return;
    case fault::migrated: migrate(o.who); return;
    case fault::recreated: recreate(o.who); return;
    case fault::false_deleted: return send_account(o.who, name(fault::deleted));
    default: return;
  }
}

// Another commit on the same state. forged: with a record that the account never wrote; future_rev: in the account's
// own name, years ahead; wrong_key and high_s: the true change, badly signed.
void network::show_rival(fault f, const offer& o) {
  constexpr std::uint64_t ten_years = 315'576'000'000'000;
  const account& a = o.who;
  commit_author author = accounts_.author_of(a);
  if (f == fault::forged || f == fault::wrong_key) author.key = accounts_.forgers_key(a);
  author.high_s = f == fault::high_s;
  std::uint64_t rev = o.made.after.rev;
  // from the first event on, and so that the reader's clock is not beyond it
  if (f == fault::future_rev) rev = (rules().base_us + ten_years) << 10;
  std::vector<change> changes(o.changes.begin(), o.changes.end());
  if (f == fault::forged || f == fault::future_rev) changes = {false_post(rev, name(f))};
  const committed made = commit(a.repo, changes, rev, author);
  send(message_of(a, made, changes));
}

void network::send_mutated(const offer& o) {
  commit_message m = o.message;
  draw d(rules().seed ^ 0xb17, commits_);
  char& byte = m.blocks[d.below(static_cast<std::uint32_t>(m.blocks.size()))];
  byte = static_cast<char>(byte ^ 1 << d.below(8));
  send(m);
}

void network::spoil(account& a, std::vector<change>& changes, std::uint64_t rev) const {
  const auto c = std::ranges::find_if(changes, [&](const change& one) { return is_fresh(a, one); });
  auto r = std::make_shared<record>(*c->value);
  r->cbor = record_with_a_float(r->path.substr(0, r->path.find('/')));
  r->cid = cid::of(r->cbor);
  r->rev = rev;
  r->bad = true;
  c->value = std::move(r);
}

void network::rotate(fault f, account& a) {
  ++a.generation;
  a.generations.emplace_back(seq_ + 1, a.generation);
  a.late_answers = f == fault::rotation_late ? 1 : 0;
  if (f != fault::rotation_silent) send_identity(a);
  empty_commit(a);
  old_repos_.forget(a.number);  // the older ones have the older key
}

bool network::leave(fault f, account& a, int steps) {
  if (a.status != account_status::active) return false;
  a.status = status_after(f);
  a.away = steps;
  a.data_when_left = a.repo.data;
  send_account(a, name(f));
  return true;
}

bool network::come_back(account& a) {
  if (a.status == account_status::active || a.status == account_status::deleted) return false;
  happened(fault::reactivated, a, a.repo.rev, seq_ + 1);
  a.status = account_status::active;
  a.away = 0;
  if (a.repo.data != a.data_when_left) a.lost = true;
  send_account(a, {});
  send_identity(a);
  send_sync(a);
  return true;
}

// The new PDS speaks first, then the old one, which deactivates what has left it.
bool network::migrate(account& a) {
  ++a.moves;
  send_identity(a);
  send_account(a, {});
  send_sync(a);
  send_account(a, name(fault::deactivated));
  return true;
}

// Every record of before is gone. The revs go on, as a clock does.
bool network::recreate(account& a) {
  if (a.status != account_status::deleted) leave(fault::deleted, a, -1);
  a.repo.records.visit([&](const record& r) { a.removed[r.path] = {a.repo.rev, now_us_}; });
  const std::uint64_t rev = next_rev(a, now_us_ << 10 | a.number % 1021);
  a.repo = {};
  old_repos_.forget(a.number);
  a.status = account_status::active;
  a.away = 0;
  a.lost = a.disowned = false;
  send_identity(a);
  send_account(a, {});
  begin_repo(a, rev);
  return true;
}

bool network::inject(fault f, account& a) {
  now_us_ += 1'000;
  if (f == fault::reactivated) return come_back(a);
  const bool returns = f == fault::recreated && a.status == account_status::deleted;
  if ((a.status != account_status::active && !returns) || !concerns_account(f)) return false;
  if (f == fault::migrated && accounts_.rules().pds.size() < 2) return false;
  if (!a.exists) create(a);
  happened(f, a, 0, seq_ + 1);
  switch (f) {
    case fault::handle: ++a.handles, send_identity(a); return true;
    case fault::migrated: return migrate(a);
    case fault::recreated: return recreate(a);
    case fault::false_deleted: send_account(a, name(fault::deleted)); return true;
    case fault::deleted: return leave(f, a, -1);
    default: break;
  }
  if (sends_away(f)) return leave(f, a, -1);
  rotate(f, a);
  return true;
}

}  // namespace recordkv::sim
