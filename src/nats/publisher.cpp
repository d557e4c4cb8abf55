#include "recordkv/nats/publisher.hpp"

#include "recordkv/core/log.hpp"

namespace recordkv::nats {
namespace {

using clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds tick{200};  // an overdue answer is noticed at most this much later

}  // namespace

publisher::publisher(connection& nc, publisher_spec spec, meters& counters)
    : nc_(nc),
      spec_(std::move(spec)),
      plan_({.stream = spec_.stream,
             .limits = spec_.limits,
             .fenced = spec_.fenced,
             .answer_limit = spec_.answer_limit,
             .latency = spec_.latency,
             .passed = spec_.passed},
            counters),
      id_(nc.add_reply_sink([this](std::uint64_t attempt, ordinal o, const message& m) {
        plan_.answered(attempt, o, parse_pub_ack(m.data()), clock::now());
        follow_up();
      })),
      denial_sink_(nc.add_denial_sink([this](const denial& d) {
        if (!closed_) plan_.denied(d, reply_prefix(), clock::now());
        follow_up();
      })) {}

publisher::~publisher() {
  nc_.remove_reply_sink(id_);
  nc_.remove_denial_sink(denial_sink_);
}

void publisher::attach(const stream_state& now) {
  plan_.attach(now, link());
  follow_up();
}

void publisher::start(nursery& children) {
  children.spawn(watch());
  children.spawn(watch_connection());
}

void publisher::close() noexcept {
  closed_ = true;
  woken_.notify();
  moved_.notify();
}

task<result<ordinal>> publisher::put(std::string subject, header_list headers, std::string payload) {
  const auto size = plan_.measure(subject, headers, payload, {nc_.max_payload(), nc_.longer_on_the_wire()});
  if (!size) co_return size.error();
  while (running()) {
    if (plan_.full())
      co_await moved_.wait();
    else if (!co_await renew_permit())
      co_await woken_.wait_for(tick);
    else if (!plan_.full())  // another put may have come first
      break;
  }
  if (closed_) co_return fail(errc::closed, "{}: closed", spec_.name);
  if (plan_.halted() != halt::none) co_return fail(errc::conflict, "{}: {}", spec_.name, plan_.last_error());
  const ordinal o = plan_.open(std::move(subject), std::move(headers), std::move(payload), *size, clock::now());
  follow_up();
  co_return o;
}

ordinal publisher::skip() {
  const ordinal o = plan_.skip(clock::now());
  follow_up();
  return o;
}

std::string publisher::reply_prefix() const { return fmt::format("{}.p{}.", nc_.inbox(), id_); }

// Call it after each call of the plan. It sends what is due, logs, and wakes the coroutines that wait.
void publisher::follow_up() {
  if (plan_.due()) send_due();
  for (const auto& n : plan_.take_notices())
    n.warning ? log::warn(spec_.name, "{}", n.text) : log::info(spec_.name, "{}", n.text);
  if (std::exchange(told_floor_, floor()) != floor() || plan_.halted() != halt::none) moved_.notify();
  if (plan_.suspects() && plan_.should_ask(link(), clock::now())) woken_.notify();
}

void publisher::send_due() {
  const bool permitted = !spec_.permit.valid || spec_.permit.valid();
  while (const auto m = plan_.next(clock::now(), permitted)) {
    const auto reply = fmt::format("{}.p{}.{}.{}", nc_.inbox(), id_, m->attempt, m->number);
    const auto sent = nc_.publish(m->subject, reply, m->headers, m->payload, spec_.permit.valid != nullptr);
    if (!sent) plan_.not_sent(m->number, sent.error(), clock::now());
  }
}

task<bool> publisher::renew_permit() {
  if (!spec_.permit.valid || spec_.permit.valid()) co_return true;
  co_return co_await spec_.permit.renew() && spec_.permit.valid();
}

task<> publisher::ask_stream() {
  plan_.asking();
  const auto now_there = co_await stream_info(nc_, spec_.stream);
  // The permit is checked after the stream's answer, because it may expire during the wait for that answer. Nothing
  // suspends between this check and the sending in follow_up().
  if (!closed_ && plan_.told(now_there, clock::now())) {
    const bool permitted = co_await renew_permit();
    if (!closed_) plan_.resume(permitted, clock::now());
  }
  follow_up();
}

task<> publisher::watch() {
  while (!closed_) {
    plan_.look(link(), clock::now());
    follow_up();
    if (plan_.should_ask(link(), clock::now()))
      co_await ask_stream();
    else
      co_await woken_.wait_for(plan_.patience(clock::now(), tick));
  }
}

task<> publisher::watch_connection() {
  while (!closed_)
    if (co_await nc_.changed().wait_for(tick)) woken_.notify();
}

}  // namespace recordkv::nats
