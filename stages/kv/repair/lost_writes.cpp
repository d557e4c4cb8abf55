#include "lost_writes.hpp"

#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::stages {
namespace {

constexpr std::chrono::milliseconds retry_pause{200};  // while NATS does not answer

std::string at_key(std::string_view label) { return "at." + std::string(label); }

std::int64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace

lost_writes::lost_writes(lifecycle& life, state_port states, std::vector<std::string> labels)
    : life_(life),
      ctx_(life.context()),
      states_(std::move(states)),
      repo_(ctx_.nc, ctx_.names().repo()),
      prefix_(ctx_.names().prefix()) {
  for (auto& label : labels) partitions_.try_emplace(std::move(label));
}

state_port lost_writes::port() {
  return {.load = states_.load, .save = [this](const std::vector<state_port::stored>& s) { return save(s); }};
}

void lost_writes::passed(std::string_view subject, std::uint64_t seq) {
  const auto key = subject.substr(std::min(prefix_.size(), subject.size()));
  const auto p = partitions_.find(key.substr(0, key.find('.')));
  if (p != partitions_.end()) p->second.puts.stored(key, seq);
}

std::string lost_writes::label_of(std::string_view did) const { return kv::partition_of(did, ctx_.cfg.kv.partitions); }

void lost_writes::close() noexcept {
  closed_ = true;
  closing_.notify();
}

// --- the question ---

task<result<void>> lost_writes::attach(bool set_back) {
  const auto on = ctx_.nc.connects();
  nursery reads(co_await asio::this_coro::executor);
  for (auto& p : partitions_) reads.spawn(read(p));
  co_await reads.join();
  if (reads.failure()) co_return *reads.failure();
  auto store = co_await nats::stream_info(ctx_.nc, ctx_.names().store());
  if (!store) co_return store.error();
  created_ = store->created;
  auto found = co_await look();
  if (!found) co_return found.error();
  std::erase_if(*found, [](const auto& v) { return !v.second.lost; });
  if (set_back || !found->empty())
    if (auto ended = co_await end_loss(*found); !ended) co_return ended;
  asked_on_ = on;
  co_return result<void>{};
}

task<result<void>> lost_writes::read(partitions::value_type& p) {
  auto found = co_await repo_.get(at_key(p.first));
  if (!found && found.error().code != errc::not_found) co_return found.error();
  p.second = {};
  if (!found) co_return result<void>{};
  p.second.key_seq = found->seq;
  p.second.puts = last_puts::parse(found->value);
  p.second.written_seq = p.second.puts.newest_seq();
  co_return result<void>{};
}

// Asks for the last puts of each partition.
task<result<lost_writes::verdicts>> lost_writes::look() {
  verdicts out;
  nursery looks(co_await asio::this_coro::executor);
  for (const auto& [label, p] : partitions_) looks.spawn(look_at(p.puts.known(), out[label]));
  co_await looks.join();
  if (looks.failure()) co_return *looks.failure();
  co_return out;
}

task<result<void>> lost_writes::look_at(std::vector<kept_put> puts, puts_verdict& into) {
  for (const auto& p : puts) {
    auto newest = co_await nats::last_message(ctx_.nc, ctx_.names().store(), prefix_ + p.key);
    if (!newest && newest.error().code != errc::not_found) co_return newest.error();
    if (into.take(p, fate_of(p, newest ? std::optional(newest->seq) : std::nullopt))) break;
  }
  co_return result<void>{};
}

// A stream that ends before what it has acknowledged to this process was set back.
task<result<bool>> lost_writes::streams_are_shorter() {
  auto store = co_await nats::stream_info(ctx_.nc, ctx_.names().store());
  if (!store) co_return store.error();
  auto repo = co_await nats::stream_info(ctx_.nc, repo_.stream());
  if (!repo) co_return repo.error();
  std::uint64_t stored = 0;
  for (const auto& [label, p] : partitions_) stored = std::max(stored, p.puts.newest_seq());
  // Another store is no store that was set back: the next start refuses it.
  co_return store->created == created_ && (store->last_seq < stored || repo->last_seq < states_seq_);
}

task<bool> lost_writes::ask() {
  while (asking_) co_await asked_.wait();
  if (stand() || taken_back_) co_return !taken_back_;
  asking_ = true;
  const auto on = ctx_.nc.connects();
  auto shorter = co_await streams_are_shorter();
  auto lost = shorter;
  if (shorter && !*shorter) {
    auto found = co_await look();
    lost = found ? result<bool>(std::ranges::any_of(*found, [](const auto& v) { return v.second.lost; }))
                 : result<bool>(found.error());
  }
  asking_ = false;
  asked_.notify();
  unanswered_ = lost ? ctx_.nc.connects() != on : passes(lost.error());
  if (!lost || unanswered_) co_return false;
  if (*lost) {
    taken_back_ = true;
    closing_.notify();
    if (on_found) on_found();
    co_return false;
  }
  asked_on_ = on;
  co_return true;
}

error lost_writes::was_set_back() const { return fail(errc::closed, "kv: bucket {} was set back", ctx_.cfg.kv.bucket); }

task<result<void>> lost_writes::may_read() {
  if (auto ours = co_await life_.renew_if_stale(); !ours) co_return ours;
  if (co_await ask()) co_return result<void>{};
  co_return taken_back_ ? was_set_back() : fail(errc::unreachable, "kv: the store was not asked what it still has");
}

task<bool> lost_writes::explains_failure() {
  asked_on_ = 0;
  while (!co_await ask() && unanswered_ && !life_.closing() && !life_.lost()) co_await closing_.wait_for(retry_pause);
  co_return taken_back_;
}

// --- the keys at.{p} ---

task<result<std::vector<std::uint64_t>>> lost_writes::save(const std::vector<state_port::stored>& states) {
  while (!stand() && !co_await ask()) {
    if (taken_back_ || closed_) co_return was_set_back();
    if (life_.lost()) co_return fail(errc::lease_lost, "kv: another process has taken over");
    co_await closing_.wait_for(retry_pause);
  }
  if (auto noted = co_await note_puts(states); !noted) co_return noted.error();
  auto saved = co_await states_.save(states);
  if (saved)
    for (const auto seq : *saved) states_seq_ = std::max(states_seq_, seq);
  co_return saved;
}

// The puts that these states vouch for are noted first. A state without its puts could otherwise outlive a crash, and
// nothing would show the loss.
task<result<void>> lost_writes::note_puts(const std::vector<state_port::stored>& states) {
  std::vector<partitions::value_type*> which;
  for (const auto& s : states) {
    const auto p = partitions_.find(label_of(s.state.did));
    if (p == partitions_.end() || std::ranges::find(which, &*p) != which.end()) continue;
    p->second.puts.take_news(now_ms(), ctx_.cfg.nats.sync_interval);
    if (p->second.puts.newest_seq() > p->second.written_seq) which.push_back(&*p);
  }
  co_return co_await write(std::move(which));
}

task<result<void>> lost_writes::write(std::vector<partitions::value_type*> which) {
  if (which.empty()) co_return result<void>{};
  if (!life_.valid())
    if (auto ours = co_await life_.renew_if_stale(); !ours) co_return ours;
  std::vector<kv::write> writes;
  std::vector<std::uint64_t> newest;
  for (const auto* p : which) {
    newest.push_back(p->second.puts.kept().empty() ? 0 : p->second.puts.kept().front().seq);
    writes.push_back({.key = at_key(p->first),
                      .value = p->second.puts.text(kv::process_identity::self().id),
                      .expected = p->second.key_seq,
                      .of_lease = true});
  }
  auto answers = co_await repo_.update_many(std::move(writes));
  result<void> done;
  for (std::size_t i = 0; i < which.size(); ++i) {
    if (answers[i]) {
      which[i]->second.key_seq = *answers[i];
      which[i]->second.written_seq = newest[i];
      states_seq_ = std::max(states_seq_, *answers[i]);
      continue;
    }
    done = answers[i].error().code == errc::conflict ? co_await after_conflict(*which[i])
                                                     : result<void>(answers[i].error());
    if (!done) break;
  }
  co_return done;
}

// Either the answer to this process's own write was lost, or another process has written. In the first case the caller
// writes again.
task<result<void>> lost_writes::after_conflict(partitions::value_type& p) {
  auto now = co_await repo_.get(at_key(p.first));
  if (!now) co_return now.error();
  if (last_puts::writer_of(now->value) != kv::process_identity::self().id)
    co_return fail(errc::lease_lost, "key {} of bucket {} was written by another process", at_key(p.first),
                   repo_.name());
  p.second.key_seq = now->seq;
  co_return fail(errc::unreachable, "key {} of bucket {}: the answer was lost", at_key(p.first), repo_.name());
}

}  // namespace recordkv::stages
