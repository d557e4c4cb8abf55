// The part of lost_writes for what follows from a loss: a new generation, and marks on accounts.
#include "loss_marks.hpp"
#include "lost_writes.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/kv/known_accounts.hpp"
#include "recordkv/kv/store_meta.hpp"

#include <algorithm>

namespace recordkv::stages {
namespace {

constexpr std::size_t marked_at_once = 1000;  // their states are in memory until they are written

std::uint64_t now_in_microseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

std::string plural(std::size_t n, std::string_view what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

}  // namespace

// First the generation: a view that reads from now on sees that the store is not the one it has read. Then the marks.
// The keys come last, because they are what shows the loss again after a kill.
task<result<void>> lost_writes::end_loss(const verdicts& lost) {
  if (auto raised = co_await raise_generation(); !raised) co_return raised;
  auto accounts = co_await mark(lost);
  if (!accounts) co_return accounts.error();
  std::vector<partitions::value_type*> which;
  for (const auto& [label, verdict] : lost) {
    auto& p = *partitions_.find(label);
    p.second.puts.drop(verdict.fallen);
    which.push_back(&p);
  }
  if (auto written = co_await write(std::move(which)); !written) co_return written;
  if (lost.empty()) {
    log::warn("kv",
              "NATS was set back together with the accounts' states: no account is marked; the views are rebuilt");
    co_return result<void>{};
  }
  std::uint64_t from = UINT64_MAX;
  for (const auto& v : lost) from = std::min(from, v.second.standing.value_or(0));
  ctx_.counters.add("accounts_taken_back", {}, *accounts);
  log::warn("kv", "NATS has taken back writes of bucket {}, from sequence {} on, in {}: {} marked ({})",
            ctx_.cfg.kv.bucket, from + 1, plural(lost.size(), "partition"),
            plural(*accounts, "account") + (*accounts == 1 ? " is" : " are"), taken_back);
  co_return result<void>{};
}

// A generation that was never used before. Samples beyond the store's end are of messages that are gone: another
// message will have their sequence, and must not make this store look like another one (X19).
task<result<void>> lost_writes::raise_generation() {
  for (;;) {
    auto store = co_await nats::stream_info(ctx_.nc, ctx_.names().store());
    if (!store) co_return store.error();
    auto meta = co_await kv::read_meta(ctx_.nc, ctx_.names());
    if (!meta) co_return meta.error();
    meta->generation = std::max(meta->generation + 1, now_in_microseconds());
    std::erase_if(meta->samples, [&](const kv::store_sample& s) { return s.seq > store->last_seq; });
    auto written = co_await kv::write_meta(ctx_.nc, ctx_.names(), *meta);
    if (written || written.error().code != errc::conflict) co_return written;
  }
}

task<result<std::size_t>> lost_writes::mark(const verdicts& lost) {
  auto dids = co_await accounts_to_mark(lost);
  if (!dids) co_return dids.error();
  std::size_t sum = 0;
  for (auto from = dids->begin(); from != dids->end();) {
    const auto to = from + std::min<std::ptrdiff_t>(marked_at_once, dids->end() - from);
    auto some = co_await mark_some({from, to}, lost);
    if (!some) co_return some;
    sum += *some;
    from = to;
  }
  co_return sum;
}

// Reads all states, and keeps only the DIDs.
task<result<std::vector<std::string>>> lost_writes::accounts_to_mark(const verdicts& lost) {
  std::vector<std::string> out;
  auto show = [this, &out, &lost](std::string_view, const nats::message& m) {
    const auto key = m.subject().substr(repo_.subject("").size());
    const auto of = lost.find(key.substr(0, key.find('.')));
    if (of == lost.end() || m.data().empty()) return;
    auto state = kv::parse_repo_state(m.data());
    if (state && mark_taken_back(*state, of->second.standing)) out.push_back(std::move(state->did));
  };
  auto read =
      co_await kv::read_states(ctx_.nc, ctx_.names(), ctx_.facts.api_level, ctx_.counters,
                               kv::state_parts::headers_and_value, std::move(show), [this] { return !closed_; });
  if (!read) co_return read.error();
  co_return out;
}

task<result<std::size_t>> lost_writes::mark_some(std::vector<std::string> dids, const verdicts& lost) {
  auto read = co_await states_.load(dids);
  std::vector<state_port::stored> changed;
  for (std::size_t i = 0; i < dids.size(); ++i) {
    if (!read[i] && read[i].error().code != errc::malformed) co_return read[i].error();
    if (read[i] && mark_taken_back(read[i]->state, lost.at(label_of(dids[i])).standing))
      changed.push_back(std::move(*read[i]));
  }
  if (changed.empty()) co_return std::size_t{0};
  auto saved = co_await states_.save(changed);
  if (!saved) co_return saved.error();
  for (const auto seq : *saved) states_seq_ = std::max(states_seq_, seq);
  co_return changed.size();
}

}  // namespace recordkv::stages
