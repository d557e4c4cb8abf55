// Over 300 lines: one state machine. Delivery, rewind and comparison share the position, and each wait may change it.
#include "recordkv/nats/pull_consumer.hpp"

#include "consumer_config.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/parse_number.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::nats {
namespace json = boost::json;
namespace {

using std::chrono::steady_clock;
constexpr std::chrono::seconds heartbeat{2};
constexpr std::chrono::seconds pull_life{60};
constexpr std::chrono::milliseconds tick{500};
constexpr std::chrono::seconds denial_retry{5};

template <class Duration>
std::int64_t ns(Duration d) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}

// True if the message lacks its value: another program has edited the consumer to deliver headers only. Without its
// value a record would look like a deletion.
bool without_value(const message& m) {
  const auto size = m.data().empty() ? m.header_value("Nats-Msg-Size") : std::string_view{};
  return !size.empty() && size != "0";
}

}  // namespace

pull_consumer::pull_consumer(connection& nc, consumer_spec spec, meters& counters, int api_level,
                             std::function<std::uint64_t()> start)
    : nc_(nc),
      spec_(std::move(spec)),
      counters_(counters),
      api_level_(api_level),
      start_(std::move(start)),
      name_(spec_.durable),
      denial_sink_(nc.add_denial_sink([this](const denial& d) { denied(d); })) {}

pull_consumer::~pull_consumer() { nc_.remove_denial_sink(denial_sink_); }

task<result<void>> pull_consumer::attach() { co_return co_await rewind("attached"); }

/// True if the durable exists. If another program has edited it, the edit is reported, and the durable will be made
/// anew.
task<result<bool>> pull_consumer::look() {
  auto info = co_await api(nc_, fmt::format("CONSUMER.INFO.{}.{}", spec_.stream, name_));
  if (!info && info.error().code == errc::not_found) co_return false;
  if (!info) co_return info.error();
  if (!spec_.durable.empty())
    if (auto fits = co_await judge(*info); !fits) co_return fits.error();
  co_return true;
}

task<result<void>> pull_consumer::judge(const json::object& info) {
  anew_ = anew_ || edited_;
  if (edited_) co_return result<void>{};
  const auto* config = object_field(info, "config");
  const auto have = config != nullptr ? *config : json::object{};
  const auto differ = differences(config_of(spec_, 0), have);
  const auto made_by = seal_of(have);
  const bool edited = made_by == seal::broken || (made_by == seal::none && (sealed_ || !differ.empty()));
  if (!edited && differ.empty()) {
    if (made_by == seal::none) anew_ = true;  // an earlier version made it, without a seal
    sealed_ = sealed_ || made_by == seal::intact;
    proven_ = taken_.messages;
    co_return result<void>{};
  }
  if (!spec_.made_anew && made_by != seal::broken && !sealed_)
    co_return fail(errc::mismatch,
                   "consumer {} on stream {} exists with other settings: {}; remove it (nats consumer rm {} {})",
                   spec_.durable, spec_.stream, fmt::join(differ, "; "), spec_.stream, spec_.durable);
  // An intact seal with other settings: recordkv made the consumer for an earlier spec, such as an earlier definition
  // of a view. Its position belongs to another build.
  if (edited) {
    const bool suspect = !sealed_ || taken_.messages != proven_;
    log::warn("nats", "consumer {} on stream {} was edited by another program{}{}; it is created again", spec_.durable,
              spec_.stream, differ.empty() ? "" : ": ", fmt::join(differ, "; "));
    counters_.add("errors", "consumer_edited");
    if (spec_.edited)
      if (auto told = co_await spec_.edited(suspect); !told) co_return told;
    edited_ = true;
  }
  anew_ = true;
  proven_ = taken_.messages;
  co_return result<void>{};
}

// Runs between two rewinds. Messages that arrive before the next comparison are proven by that comparison.
task<result<void>> pull_consumer::compare() {
  compared_ = steady_clock::now();
  auto there = co_await look();
  // Without an answer nothing is known. If the consumer is gone or must be made again, a rewind makes it.
  if (!there) co_return passes(there.error()) || unanswered(there.error()) ? result<void>{} : there.error();
  if (*there && !anew_) co_return result<void>{};
  rewind_wanted_ = true;
  rewind_reason_ = *there ? "its settings were changed" : "the consumer is gone";
  co_return result<void>{};
}

// Creates the consumer at its start. An existing one of that name is deleted first: its position cannot be moved
// otherwise.
task<result<void>> pull_consumer::make() {
  if (!name_.empty()) {
    auto gone = co_await api(nc_, fmt::format("CONSUMER.DELETE.{}.{}", spec_.stream, name_));
    if (!gone && gone.error().code != errc::not_found) co_return gone.error();
  }
  json::object body;
  body["stream_name"] = spec_.stream;
  body["config"] = config_of(spec_, start_ ? start_() : spec_.start_seq);
  const auto subject = spec_.durable.empty()
                           ? "CONSUMER.CREATE." + spec_.stream
                           : fmt::format("CONSUMER.DURABLE.CREATE.{}.{}", spec_.stream, spec_.durable);
  auto made = co_await api(nc_, subject, json::serialize(body));
  // If two processes remove a work queue's consumer at once, the second gets its answer a moment too early. The
  // creation then still conflicts, and is tried again.
  for (const auto until = steady_clock::now() + std::chrono::seconds(2);
       !made && made.error().code == errc::conflict && steady_clock::now() < until && !closed_;) {
    co_await nc_.changed().wait_for(tick);
    made = co_await api(nc_, subject, json::serialize(body));
  }
  if (!made) co_return made.error();
  sealed_ = true;
  edited_ = false;
  name_ = text_field(*made, "name");
  pending_ = unsigned_field(*made, "num_pending");
  co_return result<void>{};
}

task<result<void>> pull_consumer::reset() {
  // Looks first: a new consumer would erase the traces of an edit by another program.
  auto there = spec_.durable.empty() ? result<bool>(false) : co_await look();
  if (!there) co_return there.error();
  // A work queue holds exactly the unacknowledged messages, so a new consumer begins at the right place. A reset would
  // return to the acknowledgement floor. A server that died at the wrong moment can leave a message behind that floor
  // for ever.
  // A reset of a consumer that does not exist is never answered.
  const bool anew = std::exchange(anew_, false);
  if (api_level_ < 4 || spec_.durable.empty() || !start_ || !*there || anew) co_return co_await make();
  // Beyond the last sequence a reset is accepted and delivers nothing. Below the first start it is refused (10204).
  auto now = co_await stream_info(nc_, spec_.stream);
  if (!now) co_return now.error();
  const auto start = start_();
  if (start == 0 || start > now->last_seq) co_return co_await make();
  auto body = json::serialize(json::object{{"seq", start}});
  auto done = co_await api(nc_, fmt::format("CONSUMER.RESET.{}.{}", spec_.stream, name_), std::move(body));
  if (done) co_return result<void>{};
  if (done.error().code == errc::not_found || done.error().code == errc::refused) co_return co_await make();
  co_return done.error();
}

task<result<void>> pull_consumer::rewind(std::string_view why) {
  messages_ = {};
  ++incarnation_;
  rewind_wanted_ = false;
  connects_ = nc_.connects();
  denied_ack_.clear();
  denied_why_.clear();
  if (incarnation_ > 1) counters_.add("consumer_rewinds");
  auto done = co_await reset();
  if (!done) {
    rewind_wanted_ = true;
    co_return done.error();
  }
  log::debug("nats", "consumer {} rewound: {}", name_, why);
  // Each rewind uses a new subject, so that messages of an older pull request are not received. The subject is beside
  // the inbox, not below it: a delivered message carries the stream's subject and would be taken for a reply.
  reply_ = fmt::format("{}-{}.{}", nc_.inbox(), name_, incarnation_);
  auto subscribed = nc_.subscribe(reply_);
  if (!subscribed) {
    rewind_wanted_ = true;
    co_return subscribed.error();
  }
  messages_ = std::move(*subscribed);
  credit_ = 0;
  expected_ = 1;
  heard_ = delivered_ = compared_ = steady_clock::now();
  co_return result<void>{};
}

void pull_consumer::renew() {
  if (credit_ > spec_.credit / 2) return;
  json::object pull{{"batch", spec_.credit - credit_},
                    {"max_bytes", spec_.max_bytes},
                    {"expires", ns(pull_life)},
                    {"idle_heartbeat", ns(heartbeat)}};
  const auto subject = fmt::format("{}CONSUMER.MSG.NEXT.{}.{}", api_subjects, spec_.stream, name_);
  if (nc_.publish(subject, reply_, {}, json::serialize(pull))) credit_ = spec_.credit;
}

bool pull_consumer::lost() const { return steady_clock::now() - heard_ > 2 * heartbeat + std::chrono::seconds(1); }

task<result<std::vector<message>>> pull_consumer::next() {
  wanted_ = true;
  while (!closed_) {
    if (nc_.connects() != connects_) {
      rewind_wanted_ = true;
      rewind_reason_ = "reconnected";
    }
    if (!nc_.up()) {
      co_await nc_.changed().wait_for(tick);
      continue;
    }
    if (rewind_wanted_) {
      const auto asked_on = nc_.connects();
      auto done = spec_.still_ours ? co_await spec_.still_ours() : result<void>{};
      if (done && nc_.connects() != asked_on) continue;  // the answer may come from a server that has died since
      if (done) done = co_await rewind(rewind_reason_);
      if (!done && done.error().code == errc::not_found && spec_.stream_returns) {
        co_await nc_.changed().wait_for(tick);
        continue;
      }
      if (!done && !passes(done.error())) co_return done.error();
      if (!done) co_await nc_.changed().wait_for(tick);  // the error may have come at once
      continue;
    }
    if (!spec_.durable.empty() && steady_clock::now() - compared_ >= spec_.compare_every) {
      if (auto fits = co_await compare(); !fits) co_return fits.error();
      if (rewind_wanted_ || closed_) continue;
    }
    renew();
    auto got = take();
    if (!spec_.durable.empty() && !spec_.headers_only && std::ranges::any_of(got, without_value)) {
      if (auto fits = co_await compare(); !fits) co_return fits.error();
      if (nc_.connects() != connects_) continue;
    }
    if (rewind_wanted_) continue;
    if (!got.empty()) {
      wanted_ = false;
      co_return got;
    }
    if (spec_.once && idle_) break;
    if (lost()) {
      co_await look_after_request();
      continue;
    }
    co_await messages_.arrived().wait_for(tick);
  }
  co_return fail(errc::closed, "consumer {}: closed", name_);
}

// Two heartbeats are missing: the pull request is gone. If the consumer was deleted before the request arrived, no
// status message reports the deletion. The server is therefore asked whether the consumer exists.
task<> pull_consumer::look_after_request() {
  auto there = co_await api(nc_, fmt::format("CONSUMER.INFO.{}.{}", spec_.stream, name_));
  rewind_wanted_ = !there && there.error().code == errc::not_found;
  rewind_reason_ = "the consumer is gone";
  credit_ = 0;
  heard_ = steady_clock::now();
}

std::vector<message> pull_consumer::take() {
  auto got = messages_.take();
  if (!got.empty()) heard_ = steady_clock::now();
  std::vector<message> out;
  out.reserve(got.size());
  for (auto& m : got) {
    const auto d = parse_delivery(m.reply());
    if (!d) {
      status(m);
      continue;
    }
    if (d->consumer_seq != expected_ && (spec_.policy != acks::none || !spec_.durable.empty())) {
      rewind_wanted_ = true;  // another client received the messages in between, or they were lost
      rewind_reason_ = "the consumer sequence jumped";
      // A reset keeps the pull requests of a previous process until the server has noticed its end. Those requests may
      // receive the first messages. A new consumer has none.
      anew_ = expected_ == 1;
      break;
    }
    expected_ = d->consumer_seq + 1;
    idle_ = false;
    pending_ = d->pending;
    delivered_ = heard_;
    ++taken_.messages;
    taken_.bytes += m.data().size();
    taken_.time_ns = d->time_ns;
    if (credit_ > 0) --credit_;
    m.incarnation(incarnation_);
    out.push_back(std::move(m));
  }
  if (rewind_wanted_) return {};
  return out;
}

// 404, 408 and 409 are credit accounting, not errors. They end one pull request and name its remaining credit, which
// may be 0; other requests remain. Without a number all requests are gone together with the consumer.
void pull_consumer::status(const message& m) {
  const auto code = m.header_value("Status");
  idle_ = code == "100";
  if (idle_) return;
  const auto left = m.header_value("Nats-Pending-Messages");
  credit_ -= left.empty() ? credit_ : std::min<std::size_t>(credit_, parse_number<std::uint64_t>(left).value_or(0));
  const auto words = m.header_value("Description");
  if (code == "409" && (words.find("Deleted") != words.npos || words.find("Leadership") != words.npos)) {
    rewind_wanted_ = true;
    rewind_reason_ = std::string(words);
  }
}

double pull_consumer::lag_seconds() const noexcept {
  if (pending_ == 0 || taken_.time_ns == 0) return 0;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto age = now - std::chrono::nanoseconds(taken_.time_ns);
  return std::max(0.0, std::chrono::duration<double>(age).count());
}

// An acknowledgement has no answer: this error is the only sign that the server refused it.
void pull_consumer::denied(const denial& d) {
  const bool own_ack = d.what == denial::direction::publish && d.subject.starts_with("$JS.ACK.") &&
                       d.subject.find(fmt::format(".{}.{}.", spec_.stream, name_)) != d.subject.npos;
  if (!own_ack || d.cut) return;
  denied_ack_ = d.subject;
  denied_why_ = d.as_error().text;
}

// Permissions may change while the server runs. One acknowledgement is sent as a probe. Once it is no longer refused,
// everything that is unacknowledged is delivered again.
task<> pull_consumer::try_denied_ack() {
  const auto now = steady_clock::now();
  if (!nc_.up() || now - ack_tried_ < denial_retry) co_return;
  ack_tried_ = now;
  const auto tried = std::exchange(denied_ack_, {});
  auto sent = nc_.publish(tried, "", {}, "+ACK");
  if (sent) sent = co_await nc_.flush();
  if (sent) co_await nc_.changed().wait_for(tick);  // the refusal arrives separately, a little later
  if (!sent || !denied_ack_.empty() || closed_) {
    denied_ack_ = tried;
    co_return;
  }
  denied_why_.clear();
  rewind_wanted_ = true;
  rewind_reason_ = "acknowledgements are permitted again";
  if (messages_) messages_.arrived().notify();
}

task<std::string> pull_consumer::stall_reason(std::chrono::milliseconds patience) {
  if (!denied_ack_.empty()) co_await try_denied_ack();
  if (!denied_why_.empty()) co_return denied_why_;
  if (closed_ || !nc_.up() || steady_clock::now() - delivered_ < patience) co_return "";
  const auto before = delivered_;
  const bool waited_for = wanted_;  // otherwise the reader is busy: no stall of the consumer, but the lag grows
  auto info = co_await api(nc_, fmt::format("CONSUMER.INFO.{}.{}", spec_.stream, name_));
  if (delivered_ != before) co_return "";
  if (!info && info.error().code == errc::not_found) co_return fmt::format("consumer {} is gone", name_);
  if (!info) co_return "";  // NATS is down or does not answer: reported elsewhere
  pending_ = unsigned_field(*info, "num_pending");
  if (pending_ == 0 || !waited_for) {
    delivered_ = steady_clock::now();
    co_return "";
  }
  const bool on_purpose = flag_field(*info, "paused");
  co_return fmt::format("consumer {} delivers nothing of {} messages{}", name_, pending_,
                        on_purpose ? ": it is paused (nats consumer resume)" : "");
}

void pull_consumer::settle(const message& m) {
  if (m.incarnation() != incarnation_ || spec_.policy == acks::none) return;
  // After a reconnect everything unacknowledged is delivered again. What has become of this message there is not known:
  // a stream that was set back may hold another one at its place, or may need this one again.
  if (nc_.connects() != connects_) return;
  // If this acknowledgement is lost with the connection, the message is delivered again.
  (void)nc_.publish(std::string(m.reply()), "", {}, "+ACK");
}

void pull_consumer::close() noexcept {
  closed_ = true;
  if (messages_) messages_.arrived().notify();
}

}  // namespace recordkv::nats
