#include "repo_states.hpp"

#include "accounts/event_rules.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/parse_number.hpp"
#include "recordkv/kv/record_key.hpp"
#include "repair/loss_marks.hpp"

#include <numeric>

namespace recordkv::stages {
namespace {

constexpr std::chrono::milliseconds retry_pause{200};  // while NATS does not answer
// The account needs a repair, not before this time. With the second, only if every account is repaired.
constexpr auto repair_header = "repair", repair_of_any_header = "repair_of_any";

bool is_repaired_anyway(const kv::repo_state& s) {
  return s.followed || is_to_be_cleared(s) || marked(s, "asked") || marked(s, "added");
}

// In the header, words are separated by commas.
bool names_loss(std::string_view reasons) { return reasons.contains(taken_back) || reasons.contains(source_gap); }

result<state_port::stored> stored_state(const std::string& did, const kv::entry& e) {
  state_port::stored out{.state = {}, .seq = e.seq};
  if (e.seq == 0 || e.deleted) return out;
  auto state = kv::parse_repo_state(e.value);
  if (!state) return fail(errc::malformed, "bucket repo, account {}: {}", did, state.error().text);
  out.state = std::move(*state);
  return out;
}

}  // namespace

task<result<void>> repo_states::learn_known_accounts(
    std::function<bool()> go_on, std::function<void(const std::string& did, std::int64_t next_try)> to_repair) {
  auto show = [this, &to_repair](std::string_view encoded_did, const nats::message& m) {
    known_.add(encoded_did);
    auto next = parse_number<std::uint64_t>(m.header_value(repair_header));
    if (!next && every_account_) next = parse_number<std::uint64_t>(m.header_value(repair_of_any_header));
    if (!next) return;
    const auto did = kv::decode_part(encoded_did);
    if (on_loss_mark && names_loss(m.header_value("reasons"))) on_loss_mark(did);
    to_repair(did, static_cast<std::int64_t>(*next));
  };
  auto read = co_await kv::read_states(ctx_.nc, ctx_.names(), ctx_.facts.api_level, ctx_.counters,
                                       kv::state_parts::headers, std::move(show), std::move(go_on));
  accounts_known_ = accounts_known_ || read.has_value();
  if (read)
    log::info("kv", "{} account{} a state", known_.size(), known_.size() == 1 ? " has" : "s have");
  else if (read.error().code != errc::closed)
    log::warn("kv", "reading which accounts have a state: {}; until that succeeds, each new account costs a round trip",
              read.error().text);
  co_return read;
}

task<std::vector<result<state_port::stored>>> repo_states::load(std::vector<std::string> dids) {
  std::vector<result<state_port::stored>> out(dids.size(), state_port::stored{});
  std::vector<std::size_t> asked;
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < dids.size(); ++i) {
    if (accounts_known_ && !known_.contains(kv::encode_part(dids[i]))) continue;
    asked.push_back(i);
    keys.push_back(kv::repo_key(dids[i], ctx_.cfg.kv.partitions));
  }
  if (asked.empty()) co_return out;
  auto found = co_await repo_.get_many(std::move(keys));
  for (std::size_t k = 0; k < asked.size(); ++k) {
    auto& into = out[asked[k]];
    into = found ? stored_state(dids[asked[k]], (*found)[k]) : result<state_port::stored>(found.error());
    // learn_known_accounts() may have ended before it came to this state.
    if (into && into->seq != 0) known_.add(kv::encode_part(dids[asked[k]]));
  }
  co_return out;
}

// A process that was suspended and resumed could still overwrite an account state that its successor has read already.
// The successor would then fail its own compare-and-set, and exit. The lease is therefore checked before each write.
task<result<void>> repo_states::may_write() {
  while (!life_.valid()) {
    auto ours = co_await life_.renew_if_stale();
    if (ours) break;
    if (life_.lost()) co_return fail(errc::lease_lost, "kv: another process has taken over");
    if (given_up_) co_return fail(errc::closed, "kv: stopped");
    co_await pause_.wait_for(retry_pause);
  }
  co_return result<void>{};
}

std::vector<kv::write> repo_states::writes_of(const std::vector<state_port::stored>& states,
                                              const std::vector<std::size_t>& which) {
  std::vector<kv::write> out;
  out.reserve(which.size());
  for (const auto i : which) {
    const auto& s = states[i];
    kv::write w{.key = kv::repo_key(s.state.did, ctx_.cfg.kv.partitions),
                .value = kv::to_json(s.state),
                .expected = s.seq,
                .of_lease = true};
    if (s.seq == 0) known_.add(kv::encode_part(s.state.did));
    if (s.state.status != "synchronised") {  // `status` counts accounts by these headers, and repair finds them
      w.headers.push_back({"status", s.state.status});
      w.headers.push_back({"reasons", fmt::format("{}", fmt::join(s.state.reasons, ","))});
    }
    if (s.state.stale() || is_unconfirmed(s.state) || is_to_be_cleared(s.state))
      w.headers.push_back(
          {is_repaired_anyway(s.state) ? repair_header : repair_of_any_header, fmt::format("{}", s.state.next_try)});
    out.push_back(std::move(w));
  }
  return out;
}

// A conflict has one of two causes. The answer to this process's own write was lost, or another process has written.
// errc::timed_out and the like: the cause is not known yet.
task<result<std::uint64_t>> repo_states::after_conflict(const state_port::stored& s) {
  auto now = co_await repo_.get(kv::repo_key(s.state.did, ctx_.cfg.kv.partitions));
  if (now && now->value == kv::to_json(s.state)) co_return now->seq;
  if (now || now.error().code == errc::not_found)
    co_return fail(errc::lease_lost, "the state of {} was written by another process (sequence {}, not {})",
                   s.state.did, now ? now->seq : 0, s.seq);
  co_return now.error();
}

// Each account has at most one write under way.
task<result<std::vector<std::uint64_t>>> repo_states::save(const std::vector<state_port::stored>& states) {
  std::vector<std::uint64_t> seqs(states.size(), 0);
  std::vector<std::size_t> open(states.size());
  std::iota(open.begin(), open.end(), std::size_t{0});
  while (!open.empty()) {
    if (auto ours = co_await may_write(); !ours) co_return ours.error();
    auto answers = co_await repo_.update_many(writes_of(states, open));
    std::vector<std::size_t> again;
    for (std::size_t k = 0; k < open.size(); ++k) {
      const auto i = open[k];
      auto& answer = answers[k];
      if (!answer && answer.error().code == errc::conflict) answer = co_await after_conflict(states[i]);
      if (answer)
        seqs[i] = *answer;
      else if (!unanswered(answer.error()) || life_.lost() || given_up_)
        co_return answer.error();
      else
        again.push_back(i);
    }
    if (!again.empty()) co_await pause_.wait_for(retry_pause);
    open = std::move(again);
  }
  co_return seqs;
}

}  // namespace recordkv::stages
