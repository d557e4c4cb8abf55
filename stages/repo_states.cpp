#include "repo_states.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

#include <numeric>

namespace recordkv::stages {
namespace {

constexpr std::chrono::milliseconds moment{200};

}  // namespace

task<> repo_states::learn_begun(std::function<bool()> go_on) {
  auto read = co_await read_begun(ctx_.nc, ctx_.names(), ctx_.facts.api_level, ctx_.counters, begun_, std::move(go_on));
  begun_known_ = read.has_value();
  if (begun_known_) log::info("kv", "{} accounts have begun", begun_.size());
}

task<result<std::vector<state_port::stored>>> repo_states::load(std::vector<std::string> dids) {
  std::vector<state_port::stored> out(dids.size());
  std::vector<std::size_t> asked;
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < dids.size(); ++i) {
    if (begun_known_ && !begun_.contains(kv::encode_part(dids[i]))) continue;
    asked.push_back(i);
    keys.push_back(kv::repo_key(dids[i], ctx_.cfg.kv.partitions));
  }
  auto found = co_await repo_.get_many(std::move(keys));
  if (!found) co_return found.error();
  for (std::size_t k = 0; k < asked.size(); ++k) {
    auto& e = (*found)[k];
    auto& into = out[asked[k]];
    into.seq = e.seq;
    // Written anew while they are read it may stand behind the end of that reading.
    if (e.seq != 0) begun_.add(kv::encode_part(dids[asked[k]]));
    if (e.seq == 0 || e.deleted) continue;
    auto state = kv::parse_repo_state(e.value);
    if (!state) co_return fail(errc::malformed, "bucket repo, account {}: {}", dids[asked[k]], state.error().text);
    into.state = std::move(*state);
  }
  co_return out;
}

// Who was stopped for a while would win the compare-and-set as long as the next owner has read a state and not yet
// written it; and end him.
task<result<void>> repo_states::may_write() {
  while (!owner_.fresh()) {
    auto ours = co_await owner_.confirm();
    if (ours) break;
    if (owner_.lost() || given_up_) co_return fail(errc::not_owner, "kv: another process has taken over");
    co_await pause_.wait_for(moment);
  }
  co_return result<void>{};
}

std::vector<kv::write> repo_states::writes_of(const std::vector<state_port::stored>& states,
                                              const std::vector<std::size_t>& which) {
  std::vector<kv::write> out;
  out.reserve(which.size());
  for (const auto i : which) {
    const auto& s = states[i];
    kv::write w{
        .key = kv::repo_key(s.state.did, ctx_.cfg.kv.partitions), .value = kv::to_json(s.state), .expected = s.seq};
    if (s.seq == 0) begun_.add(kv::encode_part(s.state.did));
    if (s.state.stale()) {  // counted without reading the values
      w.headers.push_back({"status", s.state.status});
      w.headers.push_back({"reasons", fmt::format("{}", fmt::join(s.state.reasons, ","))});
    }
    out.push_back(std::move(w));
  }
  return out;
}

// Our own write whose answer was lost, or somebody else's. errc::timed_out and the like: not known yet.
task<result<std::uint64_t>> repo_states::after_conflict(const state_port::stored& s) {
  auto now = co_await repo_.get(kv::repo_key(s.state.did, ctx_.cfg.kv.partitions));
  if (now && now->value == kv::to_json(s.state)) co_return now->seq;
  if (now || now.error().code == errc::not_found)
    co_return fail(errc::not_owner, "the state of {} was written by another process (sequence {}, not {})", s.state.did,
                   now ? now->seq : 0, s.seq);
  co_return now.error();
}

// Each account has at most one write under way.
task<result<std::vector<std::uint64_t>>> repo_states::save(std::vector<state_port::stored> states) {
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
      else if (answer.error().code == errc::not_owner || owner_.lost() || given_up_)
        co_return answer.error();
      else
        again.push_back(i);
    }
    if (again.size() == open.size()) co_await pause_.wait_for(moment);  // NATS is away; wait rather than spin
    open = std::move(again);
  }
  co_return seqs;
}

}  // namespace recordkv::stages
