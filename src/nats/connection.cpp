// Over 300 lines: requests, publishing and reconnecting share one connection and the table of waiting requests.
#include "recordkv/nats/connection.hpp"

#include "bridge.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/parse_number.hpp"
#include "waiting_requests.hpp"
#include "wire_subjects.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <random>

namespace recordkv::nats {

using std::chrono::steady_clock;

struct subscription::queue {
  connection::impl* owner = nullptr;
  __natsSubscription* raw = nullptr;
  std::vector<message> waiting;
  event arrived;
};

namespace {

constexpr std::chrono::seconds denial_lifetime{15}, denial_log_interval{60}, inbox_retry{5};

constexpr std::string_view usual_inbox = "_INBOX";

std::string fresh_inbox(const std::string& prefix) {
  static constexpr std::string_view alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::random_device random;
  std::string out = prefix + '.';
  for (int i = 0; i < 22; ++i) out += alphabet[random() % alphabet.size()];
  return out;
}

std::uint64_t take_token(std::string_view& s) noexcept {
  const auto n = recordkv::take_number<std::uint64_t>(s).value_or(0);
  if (!s.empty() && s.front() == '.') s.remove_prefix(1);
  return n;
}

}  // namespace

struct connection::impl {
  explicit impl(asio::io_context& i)
      : io(i),
        raw(i, {.readable = [this] { readable(); },
                .turned = [this](bool up) { turned(up); },
                .given_up =
                    [this](std::string why) {
                      last_error = std::move(why);
                      changed.notify();
                    },
                .denied = [this](const std::string& text) { denied(text); }}) {}

  void turned(bool now_up) {
    if (now_up) {
      ++connects;
      if (inbox_subscription && raw.renewals() != renewals) renew_inbox();
      if (inbox_subscription) listen_for_echo();
      last_error.clear();
      refusal.reset();
      inbox_refusal.reset();
      server_id = raw.server_id();
      max_payload = raw.max_payload();
      for (auto* gone : std::exchange(unsubscribe_later, {})) bridge::unsubscribe(gone);
      log::info("nats", "{} to server {}", connects == 1 ? "connected" : "reconnected", server_id);
    } else {
      server_id.clear();
      last_error = "NATS connection lost";
      log::warn("nats", "connection lost; reconnecting");
      waiting.fail_all(fail(errc::unreachable, "the connection to NATS was lost before the answer came"));
    }
    changed.notify();
  }

  // A consumer's rewind makes its subscription again. Only the inbox is renewed here.
  void renew_inbox() {
    renewals = raw.renewals();
    bridge::unsubscribe(std::exchange(inbox_subscription, nullptr));
    if (auto again = raw.subscribe((inbox + ".>").c_str())) inbox_subscription = *again;
  }

  // This error is the only answer to a denied publish or subscription. It is reported until denial_lifetime has passed
  // without another one.
  void denied(const std::string& text) {
    heard = true;
    auto d = parse_denial(text);
    if (!d) return log::warn("nats", "the NATS server says: {}", text);
    const auto now = steady_clock::now();
    const auto why = d->as_error();
    d->subject = wire.back(d->subject);
    const bool inbox_itself = d->what == denial::direction::subscribe && d->names(inbox + ".>");
    // The process publishes to its own inbox only for an echo, and this refusal serves as the echo (flush).
    const bool to_itself = d->what == denial::direction::publish && d->subject.starts_with(inbox);
    if (!to_itself) {
      refusal = {why.text, now};
      auto& told = refusals_told[d->family()];
      if (told == steady_clock::time_point{} || now - told > denial_log_interval) log::error("nats", "{}", why.text);
      if (told == steady_clock::time_point{} || now - told > denial_log_interval) told = now;
    }
    if (refusals_told.size() > 64) refusals_told.clear();
    if (inbox_itself) inbox_refusal = {why.text, now};
    if (inbox_itself) waiting.fail_all(why);
    waiting.deny(*d, inbox);
    for (const auto& sink : denial_sinks)
      if (sink) sink(*d);
  }

  // Without its inbox no request has an answer. Permissions may change while the server runs, so the subscription is
  // tried again.
  std::optional<error> no_inbox() {
    if (!inbox_refusal) return std::nullopt;
    if (raw.up() && steady_clock::now() - inbox_refusal->second > inbox_retry) {
      inbox_refusal.reset();
      bridge::unsubscribe(std::exchange(inbox_subscription, nullptr));
      if (auto again = raw.subscribe((inbox + ".>").c_str())) inbox_subscription = *again;
      return std::nullopt;
    }
    return error{errc::unauthorized, inbox_refusal->first};
  }

  // An echo is the only way to notice that nats.c receives nothing (bridge::start_over).
  void listen_for_echo() {
    heard = false;
    (void)raw.publish((inbox + ".e").c_str(), nullptr, {}, {});
    echo.expires_after(std::chrono::seconds(5));
    echo.async_wait([this](boost::system::error_code ec) {
      if (!ec && !heard && raw.up()) raw.start_over();
    });
  }

  void readable() {
    replies.clear();
    if (inbox_subscription) bridge::drain(inbox_subscription, replies);
    heard = heard || !replies.empty();
    for (auto& m : replies) dispatch(m);
    replies.clear();
    for (std::size_t i = 0; i < queues.size(); ++i) {  // notify() only schedules, so the list does not change here
      const auto before = queues[i]->waiting.size();
      bridge::drain(queues[i]->raw, queues[i]->waiting);
      if (queues[i]->waiting.size() > before) queues[i]->arrived.notify();
    }
  }

  void dispatch(message& m) {
    std::string_view token = m.subject();
    if (token.size() <= inbox.size() + 2 || !token.starts_with(inbox)) return;
    token.remove_prefix(inbox.size() + 1);
    const char kind = token.front();
    token.remove_prefix(1);
    const auto first = take_token(token);
    if (kind == 'r') {
      waiting.answer(first, m);
    } else if (kind == 'p' && first < sinks.size() && sinks[first]) {
      const auto attempt = take_token(token);
      sinks[first](attempt, take_token(token), m);
    }
  }

  asio::io_context& io;
  bridge raw;
  std::string inbox = fresh_inbox(std::string(usual_inbox));
  wire_subjects wire;
  __natsSubscription* inbox_subscription = nullptr;
  std::vector<std::shared_ptr<subscription::queue>> queues;
  std::vector<__natsSubscription*> unsubscribe_later;  // once nats.c may be entered again
  std::vector<message> replies;
  waiting_requests waiting;
  std::vector<reply_sink> sinks;
  std::vector<denial_sink> denial_sinks;
  using told_at = std::pair<std::string, steady_clock::time_point>;
  std::optional<told_at> refusal, inbox_refusal;
  std::map<std::string, steady_clock::time_point> refusals_told;
  std::uint64_t connects = 0;
  std::uint64_t renewals = 0;
  std::string server_id, last_error = "not connected yet";
  std::size_t max_payload = 1 << 20;
  event changed;
  asio::steady_timer echo{io};
  bool heard = true;
};

connection::connection(asio::io_context& io) : impl_(std::make_unique<impl>(io)) {}

connection::~connection() {
  for (auto* gone : impl_->unsubscribe_later) bridge::unsubscribe(gone);
  for (auto& q : impl_->queues) bridge::unsubscribe(q->raw);
  if (impl_->inbox_subscription) bridge::unsubscribe(impl_->inbox_subscription);
}

result<void> connection::start(const nats_config& config) {
  impl_->wire = wire_subjects(config.api_prefix);
  impl_->inbox = fresh_inbox(config.inbox_prefix);
  if (auto opened = impl_->raw.open(config); !opened) return opened.error();
  while (!impl_->raw.up()) impl_->io.run_one();  // the socket arrives as a posted handler
  auto inbox = impl_->raw.subscribe((impl_->inbox + ".>").c_str());
  if (!inbox) return inbox.error();
  impl_->inbox_subscription = *inbox;
  return {};
}

bool connection::up() const noexcept { return impl_->raw.up(); }
event& connection::changed() noexcept { return impl_->changed; }
std::uint64_t connection::connects() const noexcept { return impl_->connects; }
std::string connection::server_id() const { return impl_->server_id; }
std::size_t connection::max_payload() const noexcept { return impl_->max_payload; }
std::string connection::last_error() const { return impl_->last_error; }
const std::string& connection::inbox() const noexcept { return impl_->inbox; }

std::string connection::on_the_wire(std::string_view subject) const { return impl_->wire.out(subject); }

std::size_t connection::longer_on_the_wire() const noexcept {
  static const auto usual = fresh_inbox(std::string(usual_inbox)).size();
  return impl_->wire.longer_by() + (impl_->inbox.size() > usual ? impl_->inbox.size() - usual : 0);
}

asio::io_context& connection::io() noexcept { return impl_->io; }

task<> connection::wait_up() {
  while (!up()) co_await impl_->changed.wait();
}

result<void> connection::publish(const std::string& subject, const std::string& reply, const header_list& headers,
                                 std::string_view data, bool guarded) {
  const auto to = impl_->wire.has_prefix() ? impl_->wire.out(subject) : std::string();
  auto sent =
      impl_->raw.publish((to.empty() ? subject : to).c_str(), reply.empty() ? nullptr : reply.c_str(), headers, data);
  if (sent && guarded) impl_->raw.note_guarded();
  return sent;
}

task<result<message>> connection::request(request_spec what, std::chrono::milliseconds timeout) {
  std::vector<request_spec> one;
  one.push_back(std::move(what));
  auto answers = co_await request_all(std::move(one), timeout);
  co_return std::move(answers.front());
}

task<std::vector<result<message>>> connection::request_all(std::vector<request_spec> what,
                                                           std::chrono::milliseconds timeout) {
  const auto asked = steady_clock::now();
  const auto left = [&] { return impl_->waiting.deadline(asked, timeout) - steady_clock::now(); };
  const bool may_wait = std::ranges::none_of(what, &request_spec::guarded);
  while (may_wait && !up() && left() > left().zero()) co_await impl_->changed.wait_for(left());

  waiting_requests::slots slots(impl_->waiting, what.size());
  std::vector<result<message>> out;
  const auto no_inbox = impl_->no_inbox();
  for (std::size_t i = 0; i < what.size(); ++i) {
    const auto id = impl_->waiting.add(slots, i, what[i].subject);
    if (no_inbox) {
      impl_->waiting.fail_one(id, *no_inbox);
      continue;
    }
    auto sent = publish(what[i].subject, fmt::format("{}.r{}", impl_->inbox, id), what[i].headers, what[i].data,
                        what[i].guarded);
    if (!sent) impl_->waiting.fail_one(id, sent.error());
  }
  while (slots.missing > 0) {
    if (left() <= left().zero()) break;
    co_await slots.answered.wait_for(left());
  }
  out.reserve(what.size());
  for (std::size_t i = 0; i < what.size(); ++i) {
    if (slots.replies[i])
      out.emplace_back(std::move(slots.replies[i]));
    else if (slots.failures[i])
      out.emplace_back(
          fail(slots.failures[i]->code, "{} (request {})", slots.failures[i]->text, on_the_wire(what[i].subject)));
    else
      out.emplace_back(
          fail(errc::timed_out, "NATS did not answer {} within {} ms", on_the_wire(what[i].subject), timeout.count()));
  }
  co_return out;
}

result<subscription> connection::subscribe(const std::string& subject) {
  auto raw = impl_->raw.subscribe(subject.c_str());
  if (!raw) return raw.error();
  auto q = std::make_shared<subscription::queue>();
  q->owner = impl_.get();
  q->raw = *raw;
  impl_->queues.push_back(q);
  return subscription(std::move(q));
}

task<result<void>> connection::flush(std::chrono::milliseconds timeout) {
  // The echo goes to the process's own inbox: the server handles the messages of one connection in order.
  waiting_requests::slots slot(impl_->waiting, 1);
  const auto id = impl_->waiting.add(slot, 0, "");
  const auto asked = steady_clock::now();
  if (auto sent = publish(fmt::format("{}.r{}", impl_->inbox, id), "", {}, ""); !sent) co_return sent.error();
  const auto left = [&] { return impl_->waiting.deadline(asked, timeout) - steady_clock::now(); };
  while (slot.missing > 0 && left() > left().zero()) co_await slot.answered.wait_for(left());
  // A refusal to publish there is an answer as well: the server has handled everything before it.
  if (slot.failures[0] && slot.failures[0]->code != errc::unauthorized) co_return *slot.failures[0];
  if (slot.missing > 0) co_return fail(errc::timed_out, "NATS did not echo");
  co_return result<void>{};
}

std::uint64_t connection::add_reply_sink(reply_sink sink) {
  impl_->sinks.push_back(std::move(sink));
  return impl_->sinks.size() - 1;
}

void connection::remove_reply_sink(std::uint64_t k) { impl_->sinks[k] = {}; }

std::uint64_t connection::add_denial_sink(denial_sink sink) {
  impl_->denial_sinks.push_back(std::move(sink));
  return impl_->denial_sinks.size() - 1;
}

void connection::remove_denial_sink(std::uint64_t k) { impl_->denial_sinks[k] = {}; }

std::string connection::denied() const {
  const auto& r = impl_->refusal;
  return r && steady_clock::now() - r->second < denial_lifetime ? r->first : "";
}

void connection::hurry() {
  impl_->waiting.hurry();
  impl_->changed.notify();
}

subscription::subscription(std::shared_ptr<queue> q) : queue_(std::move(q)) {}
subscription::subscription(subscription&&) noexcept = default;

subscription& subscription::operator=(subscription&& other) noexcept {
  std::swap(queue_, other.queue_);
  return *this;
}

subscription::~subscription() {
  if (!queue_) return;
  auto& owner = *queue_->owner;
  std::erase(owner.queues, queue_);
  if (owner.raw.up())
    bridge::unsubscribe(queue_->raw);
  else
    owner.unsubscribe_later.push_back(queue_->raw);
}

std::vector<message> subscription::take() { return std::exchange(queue_->waiting, {}); }
event& subscription::arrived() noexcept { return queue_->arrived; }

}  // namespace recordkv::nats
