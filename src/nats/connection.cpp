#include "recordkv/nats/connection.hpp"

#include "bridge.hpp"
#include "recordkv/core/log.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <charconv>
#include <random>
#include <unordered_map>

namespace recordkv::nats {

struct subscription::queue {
  connection::impl* owner = nullptr;
  __natsSubscription* raw = nullptr;
  std::vector<message> waiting;
  event arrived;
};

namespace {

// Stands in the frame of the coroutine that waits; its destructor takes its ids out of the table.
struct reply_slots {
  explicit reply_slots(std::unordered_map<std::uint64_t, std::pair<reply_slots*, std::size_t>>& t, std::size_t n)
      : table(t), replies(n), ids(n), missing(n) {}
  ~reply_slots() {
    for (const auto id : ids) table.erase(id);
  }
  reply_slots(const reply_slots&) = delete;
  std::unordered_map<std::uint64_t, std::pair<reply_slots*, std::size_t>>& table;
  std::vector<message> replies;
  std::vector<std::uint64_t> ids;
  std::size_t missing;
  event answered;
};

std::string fresh_inbox() {
  static constexpr std::string_view alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::random_device random;
  std::string out = "_INBOX.";
  for (int i = 0; i < 22; ++i) out += alphabet[random() % alphabet.size()];
  return out;
}

std::uint64_t take_number(std::string_view& s) noexcept {
  std::uint64_t n = 0;
  const auto end = std::from_chars(s.data(), s.data() + s.size(), n).ptr;
  s.remove_prefix(static_cast<std::size_t>(end - s.data()));
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
                      trouble = std::move(why);
                      changed.notify();
                    }}) {}

  void turned(bool now_up) {
    if (now_up) {
      ++connects;
      if (inbox_subscription && raw.renewals() != renewals) renew_inbox();
      if (inbox_subscription) listen_for_echo();
      trouble.clear();
      server_id = raw.server_id();
      max_payload = raw.max_payload();
      for (auto* gone : std::exchange(graveyard, {})) bridge::unsubscribe(gone);
      log::info("nats", "{} to server {}", connects == 1 ? "connected" : "reconnected", server_id);
    } else {
      server_id.clear();
      trouble = "NATS connection lost";
      log::warn("nats", "connection lost; reconnecting");
    }
    changed.notify();
  }

  // The consumers' subscriptions are made anew by their rewind; the inbox has nobody else.
  void renew_inbox() {
    renewals = raw.renewals();
    bridge::unsubscribe(std::exchange(inbox_subscription, nullptr));
    if (auto again = raw.subscribe((inbox + ".>").c_str())) inbox_subscription = *again;
  }

  // Nothing else would tell that nats.c hears nothing (bridge::start_over).
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
    for (std::size_t i = 0; i < queues.size(); ++i) {  // notify() only schedules, so the list stands still
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
    const auto first = take_number(token);
    if (kind == 'r') {
      const auto it = slots.find(first);
      if (it == slots.end()) return;  // the one who asked has gone
      auto [slot, index] = it->second;
      slot->replies[index] = std::move(m);
      slots.erase(it);
      if (--slot->missing == 0) slot->answered.notify();
    } else if (kind == 'p' && first < sinks.size() && sinks[first]) {
      const auto attempt = take_number(token);
      sinks[first](attempt, take_number(token), m);
    }
  }

  asio::io_context& io;
  bridge raw;
  std::string inbox = fresh_inbox();
  __natsSubscription* inbox_subscription = nullptr;
  std::vector<std::shared_ptr<subscription::queue>> queues;
  std::vector<__natsSubscription*> graveyard;  // to be unsubscribed once nats.c may be entered again
  std::vector<message> replies;
  std::unordered_map<std::uint64_t, std::pair<reply_slots*, std::size_t>> slots;
  std::vector<reply_sink> sinks;
  std::uint64_t next_request = 1;
  std::uint64_t connects = 0;
  std::uint64_t renewals = 0;
  std::string server_id, trouble = "not connected yet";
  std::size_t max_payload = 1 << 20;
  event changed;
  asio::steady_timer echo{io};
  bool heard = true;
};

connection::connection(asio::io_context& io) : impl_(std::make_unique<impl>(io)) {}

connection::~connection() {
  for (auto* gone : impl_->graveyard) bridge::unsubscribe(gone);
  for (auto& q : impl_->queues) bridge::unsubscribe(q->raw);
  if (impl_->inbox_subscription) bridge::unsubscribe(impl_->inbox_subscription);
}

result<void> connection::start(const nats_config& config) {
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
std::string connection::trouble() const { return impl_->trouble; }
const std::string& connection::inbox() const noexcept { return impl_->inbox; }
asio::io_context& connection::io() noexcept { return impl_->io; }

task<> connection::wait_up() {
  while (!up()) co_await impl_->changed.wait();
}

result<void> connection::publish(const std::string& subject, const std::string& reply, const header_list& headers,
                                 std::string_view data, bool perishable) {
  auto sent = impl_->raw.publish(subject.c_str(), reply.empty() ? nullptr : reply.c_str(), headers, data);
  if (sent && perishable) impl_->raw.note_perishable();
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
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!up() && std::chrono::steady_clock::now() < deadline)
    co_await impl_->changed.wait_for(deadline - std::chrono::steady_clock::now());

  reply_slots slots(impl_->slots, what.size());
  std::vector<result<message>> out;
  for (std::size_t i = 0; i < what.size(); ++i) {
    const auto id = slots.ids[i] = impl_->next_request++;
    impl_->slots.emplace(id, std::pair(&slots, i));
    // A publish that fails is an answer that never comes.
    (void)publish(what[i].subject, fmt::format("{}.r{}", impl_->inbox, id), what[i].headers, what[i].data);
  }
  while (slots.missing > 0) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero() || !co_await slots.answered.wait_for(left)) break;
  }
  out.reserve(what.size());
  for (std::size_t i = 0; i < what.size(); ++i) {
    if (slots.replies[i])
      out.emplace_back(std::move(slots.replies[i]));
    else if (!up())
      out.emplace_back(fail(errc::unreachable, "NATS is not connected (request {})", what[i].subject));
    else
      out.emplace_back(fail(errc::timed_out, "NATS did not answer {} within {} ms", what[i].subject, timeout.count()));
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
  // Our own inbox is the echo: the server handles one connection's messages in order.
  reply_slots slot(impl_->slots, 1);
  const auto id = slot.ids[0] = impl_->next_request++;
  impl_->slots.emplace(id, std::pair(&slot, 0));
  if (auto sent = publish(fmt::format("{}.r{}", impl_->inbox, id), "", {}, ""); !sent) co_return sent.error();
  if (!slot.replies[0] && !co_await slot.answered.wait_for(timeout))
    co_return fail(errc::timed_out, "NATS did not echo");
  co_return result<void>{};
}

std::uint64_t connection::add_reply_sink(reply_sink sink) {
  impl_->sinks.push_back(std::move(sink));
  return impl_->sinks.size() - 1;
}

void connection::remove_reply_sink(std::uint64_t k) { impl_->sinks[k] = {}; }

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
    owner.graveyard.push_back(queue_->raw);
}

std::vector<message> subscription::take() { return std::exchange(queue_->waiting, {}); }
event& subscription::arrived() noexcept { return queue_->arrived; }

}  // namespace recordkv::nats
