#include "fakes.hpp"

namespace recordkv::test {

void fake_inbox::deliver(std::vector<std::string> batch) {
  std::vector<nats::message> messages;
  for (const auto& data : batch) {
    ++delivered_;
    messages.push_back(
        nats::message::make("ingest.0", fmt::format("$JS.ACK.ingest.kv.1.{0}.{0}.0.0", delivered_), data, headers));
  }
  batches_.push_back(std::move(messages));
  arrived_.notify();
}

task<result<std::vector<nats::message>>> fake_inbox::next() {
  while (batches_.empty() && !closed_) co_await arrived_.wait();
  if (closed_) co_return fail(errc::closed, "closed");
  auto batch = std::move(batches_.front());
  batches_.pop_front();
  taken += batch.size();
  co_return batch;
}

void fake_inbox::settle(const nats::message& m) {
  const auto d = nats::parse_delivery(m.reply());
  settled.push_back(d ? d->stream_seq : 0);
  log_.push_back(fmt::format("ack {}", settled.back()));
}

void fake_inbox::close() noexcept {
  closed_ = true;
  arrived_.notify();
}

std::string fake_outbox::sent_message::header_value(std::string_view name) const {
  for (const auto& h : headers)
    if (h.name == name) return h.value;
  return {};
}

void fake_outbox::uncork() {
  corked_ = false;
  let(open_.size());
}

void fake_outbox::let(std::size_t n) {
  for (; n > 0 && !open_.empty(); --n) {
    const auto o = open_.front();
    open_.pop_front();
    settle(o);
  }
}

void fake_outbox::settle(nats::ordinal o) {
  window_.settle(o);
  log_.push_back(fmt::format("durable {}", o));
  moved_.notify();
}

void fake_outbox::close() noexcept {
  closed_ = true;
  moved_.notify();
}

task<result<nats::ordinal>> fake_outbox::put(std::string subject, nats::header_list headers, std::string payload) {
  if (refusals_ > 0) {
    --refusals_;
    co_return fail(errc::too_large, "refused");
  }
  while (!closed_ && window_.full()) co_await moved_.wait();
  if (closed_) co_return fail(errc::closed, "closed");
  const auto o = window_.open(payload.size());
  log_.push_back("put " + subject);
  sent.push_back({std::move(subject), std::move(headers), std::move(payload)});
  if (corked_)
    open_.push_back(o);
  else
    settle(o);
  co_return o;
}

nats::ordinal fake_outbox::skip() {
  const auto before = window_.floor();
  const auto o = window_.skip();
  if (window_.floor() != before) moved_.notify();
  return o;
}

std::vector<std::string> fake_outbox::lines() const {
  std::vector<std::string> out;
  for (const auto& m : sent)
    out.push_back(m.subject + "=" +
                  (m.header_value("KV-Operation").empty() ? m.payload : m.header_value("KV-Operation")));
  return out;
}

stages::state_port fake_states::port() {
  return {.load = [this](std::vector<std::string> dids) { return load(std::move(dids)); },
          .save = [this](const std::vector<stages::state_port::stored>& s) { return save(s); }};
}

void fake_states::stand(kv::repo_state s) {
  auto& entry = at(s.did);
  entry.state = std::move(s);
  entry.seq = ++last_seq_;
}

const kv::repo_state* fake_states::find(const std::string& did) const {
  const auto it = standing_.find(did);
  return it == standing_.end() || it->second.seq == 0 ? nullptr : &it->second.state;
}

void fake_states::release() {
  held_ = false;
  released_.notify();
}

stages::state_port::stored& fake_states::at(const std::string& did) { return standing_[did]; }

task<std::vector<result<stages::state_port::stored>>> fake_states::load(std::vector<std::string> dids) {
  std::vector<result<stages::state_port::stored>> out;
  if (load_failures_ > 0) {
    --load_failures_;
    out.assign(dids.size(), fail(errc::timed_out, "no answer"));
    co_return out;
  }
  for (const auto& d : dids) {
    loaded.push_back(d);
    const auto it = standing_.find(d);
    out.push_back(it == standing_.end() ? stages::state_port::stored{} : it->second);
  }
  co_return out;
}

task<result<std::vector<std::uint64_t>>> fake_states::save(const std::vector<stages::state_port::stored>& states) {
  ++saves_begun;
  while (held_) co_await released_.wait();
  if (save_failures_ > 0) {
    --save_failures_;
    co_return fail(errc::timed_out, "no answer");
  }
  std::vector<std::uint64_t> seqs;
  for (auto& s : states) {
    auto& there = at(s.state.did);
    if (there.seq != s.seq) co_return fail(errc::lease_lost, "{} was written by another process", s.state.did);
    there = {s.state, ++last_seq_};
    written.push_back(s.state);
    log_.push_back(fmt::format("state {} {}", s.state.did, s.state.rev));
    seqs.push_back(there.seq);
  }
  co_return seqs;
}

}  // namespace recordkv::test
