#include "wish_watch.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

namespace recordkv::stages {

using namespace std::chrono_literals;

namespace {

constexpr auto retry_pause = 1s;         // after an error
constexpr auto look_at_network = 200ms;  // while NATS is down
constexpr std::size_t max_reported = 1000;

}  // namespace

wish_watch::wish_watch(stage_context& ctx, std::function<bool(const std::string& did)> mine, fulfil_function fulfil)
    : ctx_(ctx), mine_(std::move(mine)), fulfil_(std::move(fulfil)), repo_(ctx.nc, ctx.names().repo()) {}

void wish_watch::close() noexcept {
  closed_ = true;
  if (wishes_ != nullptr) wishes_->close();
  woken_.notify();
  one_less_.notify();
}

task<> wish_watch::run() {
  nursery acting(co_await asio::this_coro::executor);
  while (!closed_) {
    if (!ctx_.nc.up()) {
      co_await woken_.wait_for(look_at_network);
      continue;
    }
    nats::consumer_spec spec{.stream = repo_.stream(), .policy = nats::acks::none, .stream_returns = true};
    spec.filters.push_back(repo_.subject("want.>"));
    nats::pull_consumer wishes(ctx_.nc, std::move(spec), ctx_.counters, ctx_.facts.api_level);
    wishes_ = &wishes;
    auto ended = co_await take_all(wishes, acting);
    wishes_ = nullptr;
    if (ctx_.nc.up() && !wishes.name().empty())  // otherwise the server removes it, minutes later
      (void)co_await nats::api(ctx_.nc, fmt::format("CONSUMER.DELETE.{}.{}", repo_.stream(), wishes.name()));
    if (!ended && !closed_) co_await pause("reading the wishes of persons", ended.error());
  }
  co_await acting.join();
}

// Ordered: a lost message shows as a jump of the consumer's sequence. All wishes are then read again.
task<result<void>> wish_watch::take_all(nats::pull_consumer& wishes, nursery& acting) {
  if (auto attached = co_await wishes.attach(); !attached) co_return attached;
  std::uint64_t incarnation = 0, taken = 0;
  while (!closed_) {
    auto batch = co_await wishes.next();
    if (!batch) co_return batch.error();
    if (std::exchange(incarnation, wishes.incarnation()) != wishes.incarnation()) taken = 0;
    for (const auto& m : *batch) {
      const auto d = nats::parse_delivery(m.reply());
      if (d->consumer_seq != ++taken) co_return fail(errc::timed_out, "a message is lost");
      co_await act_on(m, d->stream_seq, acting);
    }
  }
  co_return result<void>{};
}

// Of one account, one wish at a time is carried out: they have an order.
task<> wish_watch::act_on(const nats::message& m, std::uint64_t seq, nursery& acting) {
  if (closed_ || !m.header_value("KV-Operation").empty()) co_return;
  const auto key = std::string(m.subject().substr(repo_.subject("").size()));
  auto wish = kv::parse_wish(m.data());
  if (wish && kv::wish_key(wish->did) != key) wish = fail(errc::malformed, "a wish has another did than its key");
  // Every process sees all wishes. A key that names no account is reported by each of them.
  const auto did = wish ? wish->did : kv::decode_part(kv::account_of_wish_key(key));
  if (!did.empty() && !mine_(did)) co_return;
  if (!wish) {
    report(key, seq, wish.error());
    co_return;
  }
  while (!closed_ && (under_way_.size() >= max_at_once || under_way_.contains(did))) co_await one_less_.wait();
  if (closed_) co_return;
  under_way_.insert(did);
  acting.spawn(carry_out(std::move(*wish), seq));
}

task<> wish_watch::carry_out(kv::wish wish, std::uint64_t seq) {
  bool fulfilled = false;
  while (!closed_) {
    auto done = co_await fulfil(wish, seq, fulfilled);
    if (done) break;
    if (done.error().code == errc::closed) close();
    auto what = fmt::format("wish {} of {}", kv::name(wish.what), wish.did);
    if (!closed_) co_await pause(std::move(what), done.error());
  }
  under_way_.erase(wish.did);
  one_less_.notify();
}

// A newer wish may have replaced this one, or a person may have deleted it. It is then not carried out. If only its
// removal fails, only that is tried again.
task<result<void>> wish_watch::fulfil(const kv::wish& wish, std::uint64_t seq, bool& fulfilled) {
  auto now = co_await repo_.get(kv::wish_key(wish.did));
  if (!now && now.error().code != errc::not_found) co_return now.error();
  if (!now || now->deleted || now->seq != seq) co_return result<void>{};
  if (!fulfilled) {
    if (closed_) co_return fail(errc::closed, "the stage stops");
    auto done = co_await fulfil_(wish);
    if (!done) co_return done;
    ++fulfilled_;
    fulfilled = true;
  }
  co_return co_await kv::remove_wish(repo_, wish.did, seq);
}

void wish_watch::report(const std::string& key, std::uint64_t seq, const error& e) {
  if (reported_.size() >= max_reported) reported_.clear();
  if (!reported_.insert(seq).second) return;
  ctx_.counters.add("errors", "wish_malformed");
  log::warn("kv", "key {} of bucket {} is ignored: {}. Remove it (nats kv del {} {}), or use `recordkv repo`", key,
            repo_.name(), e.text, repo_.name(), key);
}

task<> wish_watch::pause(std::string what, error e) {
  if (const auto n = told_.count(name(e.code), std::chrono::steady_clock::now()))
    log::warn("kv", "{}: {}; it is tried again ({} failures since the last line)", what, e.text, n);
  co_await woken_.wait_for(retry_pause);
}

}  // namespace recordkv::stages
