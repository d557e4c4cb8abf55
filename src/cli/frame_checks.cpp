#include "frame_checks.hpp"

#include "recordkv/atproto/verify.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::cli {
namespace {

using atproto::event_kind;
using atproto::repo_event;

constexpr std::size_t max_accounts = 1'000'000;

std::string_view kind_name(event_kind kind) {
  switch (kind) {
    case event_kind::commit: return "commit";
    case event_kind::sync: return "sync";
    case event_kind::identity: return "identity";
    case event_kind::account: return "account";
    case event_kind::info: return "info";
    case event_kind::unknown: return "unknown";
    case event_kind::oversize:
    case event_kind::unreadable: break;
  }
  return "unreadable";
}

result<atproto::frame_summary> summary_of(std::string_view bytes) {
  return bytes.starts_with('{') ? atproto::summarise_jetstream(bytes) : atproto::summarise_frame(bytes);
}

check records_check(const repo_event& e) {
  const auto flawed =
      std::ranges::find_if(e.changes, [](const auto& c) { return c.flaw != atproto::record_flaw::none; });
  if (flawed == e.changes.end()) return {"records", "ok", {}};
  return {"records", "bad", std::string(name(flawed->flaw)), weight::failed};
}

check proof_check(const atproto::event_proof& proof) {
  if (!proof.flaw.empty()) return {"proof", "bad", std::string(proof.flaw), weight::failed};
  if (proof.has_prev_data || proof.from_empty) return {"proof", "ok", {}};
  return {"proof", "partial", "no_prev_data", weight::notable};
}

check signature_check(const repo_event& e, const result<atproto::public_key>& key) {
  if (!key) return {"signature", "unknown_key", key.error().text, weight::notable};
  if (verify(e, *key) == atproto::verdict::bad_signature) return {"signature", "bad", {}, weight::failed};
  return {"signature", "ok", {}};
}

check frame_check(const read_frame& f) {
  if (f.event && f.event->kind == event_kind::unreadable) return {"frame", "bad", f.event->reason, weight::failed};
  if (f.event) return {"frame", "ok", f.event->kind == event_kind::info ? f.summary.name : std::string()};
  const auto& why = f.event.error();
  const bool said = atproto::is_error_frame(why.code);
  return {"frame", said ? "error" : "bad", why.text, weight::failed};
}

}  // namespace

read_frame::read_frame(std::string message) : bytes(std::move(message)), event(atproto::decode_provable(bytes)) {
  if (auto seen = summary_of(bytes)) summary = std::move(*seen);
}

read_frame::read_frame(std::string beginning, std::string_view fault)
    : bytes(std::move(beginning)), event(fail(errc::malformed, "{}", fault)) {}

bool judged_frame::failed() const noexcept {
  return std::ranges::any_of(checks, [](const check& c) { return c.what == weight::failed; });
}

judged_frame frame_judge::judge(const read_frame& f, const std::optional<result<atproto::public_key>>& key,
                                clock::time_point now) {
  judged_frame out;
  out.size = f.bytes.size();
  out.checks.push_back(frame_check(f));
  if (!f.event) {
    const bool said = atproto::is_error_frame(f.event.error().code);
    out.kind = said ? "error" : kind_name(f.summary.did.empty() ? event_kind::unreadable : f.summary.kind);
    out.seq = f.summary.seq;
    out.did = f.summary.did;
    return out;
  }
  out.kind = kind_name(f.event->kind);
  out.seq = f.event->seq;
  out.did = f.event->did;
  out.rev = f.event->rev;
  out.ops = f.event->changes.size();
  if (f.event->kind == event_kind::commit) out.checks.push_back(records_check(*f.event));
  if (f.event->proof) judge_signed(*f.event, key, now, out.checks);
  return out;
}

void frame_judge::judge_signed(const repo_event& e, const std::optional<result<atproto::public_key>>& key,
                               clock::time_point now, std::vector<check>& out) {
  if (e.kind == event_kind::commit) out.push_back(proof_check(*e.proof));
  if (key) {
    out.push_back(signature_check(e, *key));
    if (out.back().what == weight::failed) return;  // anyone may have written it: it says nothing about the account
  }
  if (atproto::from_the_future(e.rev, now)) return out.push_back({"rev", "future", {}, weight::failed});
  const auto before = last_.find(e.did);
  if (before != last_.end() && e.rev == before->second.rev) return out.push_back({"rev", "same", {}, weight::notable});
  if (before != last_.end() && e.rev < before->second.rev)
    return out.push_back({"rev", "older", "than " + before->second.rev, weight::notable});
  out.push_back({"rev", "ok", {}});
  judge_chain(e, out);
}

void frame_judge::judge_chain(const repo_event& e, std::vector<check>& out) {
  if (last_.size() >= max_accounts && !last_.contains(e.did)) last_.clear();
  const auto [known, first] = last_.try_emplace(e.did);
  const auto before = std::exchange(known->second, {e.rev, e.data}).data;
  if (first)
    out.push_back({"chain", "first", {}, weight::notable});
  else if (e.kind == event_kind::sync)
    out.push_back(e.data == before ? check{"chain", "ok", {}} : check{"chain", "reset", {}, weight::notable});
  else if (e.prev_data.empty())
    out.push_back({"chain", "gap", "no_prev_data", weight::failed});
  else if (e.prev_data != before)
    out.push_back({"chain", "gap", "prev_data", weight::failed});
  else
    out.push_back({"chain", "ok", {}});
}

}  // namespace recordkv::cli
