// What nats-server 2.15.2 does (server/stream.go, getDirectMulti), tried with it:
// * Each answer is a stored message. The server appends Nats-Stream, Nats-Subject, Nats-Sequence, Nats-Num-Pending (how
//   many follow) and Nats-Last-Sequence (the answer before this one; 0 before the first). The order is that of the
//   sequences.
// * The end has the status 204, Nats-Last-Sequence, and Nats-UpTo-Sequence: the last sequence of the answering store.
// * `batch` and `max_bytes` end the answers early. The message that exceeds `max_bytes` is still sent. A request with
//   `seq` continues. The server looks up all filters again.
// * More than 1024 subjects, delete markers included: 413, without any message. No subject: 404.
// * A continuation with `up_to_seq` would miss a key that is overwritten meanwhile. The old message is gone, and the
//   new one is too late. Without `up_to_seq` the new message is part of a later answer.
// * Any replica answers, and any mirror with mirror_direct. The server does not know `min_last_seq` (ADR-53).
#include "direct_keys.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/parse_number.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <optional>

namespace recordkv::kv {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr int max_rounds = 2 * max_direct_keys;
constexpr std::size_t batch = 64;  // the server locks the stream while it loads them, perhaps each from another file
constexpr std::size_t max_bytes = std::size_t{8} << 20;
constexpr auto look_at_go_on = 200ms;

enum class step { more, complete, distrust };

std::optional<std::uint64_t> number(const nats::message& m, const char* name) {
  return parse_number<std::uint64_t>(m.header_value(name));
}

/// One sequence of requests for the same filters.
class direct_reading {
 public:
  direct_reading(nats::connection& nc, std::string stream, std::vector<std::string> filters,
                 const std::function<bool()>& go_on, take_message take, std::chrono::milliseconds max_silence)
      : nc_(nc),
        stream_(std::move(stream)),
        subject_(fmt::format("{}DIRECT.GET.{}", nats::api_subjects, stream_)),
        go_on_(go_on),
        take_(std::move(take)),
        max_silence_(max_silence),
        denial_sink_(nc.add_denial_sink(
            [this](const nats::denial& d) { denied_ = denied_ || d.names(subject_) || d.names(reply_); })) {
    query_["multi_last"] = boost::json::value_from(filters);
    query_["batch"] = batch;
    query_["max_bytes"] = max_bytes;
  }
  ~direct_reading() { nc_.remove_denial_sink(denial_sink_); }
  direct_reading(const direct_reading&) = delete;

  task<result<bool>> read() {
    auto info = co_await nats::api(nc_, "STREAM.INFO." + stream_);
    if (!info) co_return info.error();
    if (!may_be_asked(*info)) co_return false;
    for (round_ = 0; round_ < max_rounds; ++round_) {
      auto next = co_await ask();
      if (!next) co_return next.error();
      if (*next != step::more) co_return *next == step::complete;
    }
    co_return false;
  }

 private:
  // Another replica than the leader may lag behind it.
  bool may_be_asked(const boost::json::object& info) {
    const auto *config = object_field(info, "config"), *state = object_field(info, "state");
    if (config == nullptr || state == nullptr) return false;
    leaders_last_ = unsigned_field(*state, "last_seq");
    return flag_field(*config, "allow_direct") && integer_field(*config, "num_replicas") == 1;
  }

  task<result<step>> ask() {
    query_["seq"] = from_;
    auto body = boost::json::serialize(query_);
    if (body.size() > nc_.max_payload() / 2) co_return step::distrust;
    // Answers carry the stream's headers, so they must not arrive below the inbox of replies. Each request has a
    // subject of its own: an answer to an earlier one is not received.
    static std::uint64_t asked = 0;
    reply_ = fmt::format("{}-keys.{}", nc_.inbox(), ++asked);
    auto answers = nc_.subscribe(reply_);
    if (!answers) co_return answers.error();
    const auto connects = nc_.connects();
    if (auto sent = nc_.publish(subject_, reply_, {}, body); !sent) co_return sent.error();
    last_ = pending_ = 0;
    for (auto heard = steady_clock::now();;) {
      for (const auto& m : answers->take()) {
        heard = steady_clock::now();
        if (const auto end = judge(m)) co_return *end;
      }
      if (!go_on_()) co_return fail(errc::closed, "{} for keys: stopped", subject_);
      if (denied_) co_return step::distrust;
      if (!nc_.up() || nc_.connects() != connects)
        co_return fail(errc::unreachable, "the connection to NATS was lost during the answers to {}", subject_);
      if (steady_clock::now() - heard > max_silence_)
        co_return fail(errc::timed_out, "the end of the answers to {} did not come", nc_.on_the_wire(subject_));
      co_await answers->arrived().wait_for(look_at_go_on);
    }
  }

  // Empty: more answers follow.
  std::optional<step> judge(const nats::message& m) {
    const auto subject = m.header_value("Nats-Subject");
    if (subject.empty()) return judge_end(m);
    const auto seq = number(m, "Nats-Sequence"), pending = number(m, "Nats-Num-Pending");
    const bool first = last_ == 0;
    // A stored message may hold such headers itself, and hide what the server appends. The chain of sequences then
    // breaks: at this message, at the next one, or at the end. A stored Nats-Subject alone is not noticed.
    const bool follows = seq && pending && *seq >= from_ && *seq > last_ &&
                         number(m, "Nats-Last-Sequence") == std::optional(last_) &&
                         (first ? *pending < max_direct_keys : *pending + 1 == pending_);
    if (!follows) return distrust("an answer does not follow the one before");
    if (m.header_value("Nats-Stream") != stream_) return distrust("another stream answers");
    if (!take_(subject, *seq, m)) return distrust("an answer does not match");
    last_ = *seq;
    pending_ = *pending;
    return std::nullopt;
  }

  // The end's own Nats-Num-Pending is not used: a server before 2.15 counts one too few.
  step judge_end(const nats::message& m) {
    const auto status = m.header_value("Status");
    if (status != "204") return distrust(fmt::format("{} {}", status, m.header_value("Description")));
    if (number(m, "Nats-Last-Sequence") != std::optional(last_)) return distrust("the last answer is missing");
    if (number(m, "Nats-UpTo-Sequence").value_or(0) < leaders_last_) return distrust("the answering store lags");
    if (last_ == 0 && round_ == 0) return distrust("no answer");
    from_ = last_ + 1;
    return pending_ == 0 ? step::complete : step::more;
  }

  step distrust(std::string_view why) const {
    log::debug("kv", "{} for keys: {}", subject_, why);
    return step::distrust;
  }

  nats::connection& nc_;
  std::string stream_, subject_, reply_;
  const std::function<bool()>& go_on_;
  take_message take_;
  std::chrono::milliseconds max_silence_;
  boost::json::object query_;
  std::uint64_t leaders_last_ = 0;
  std::uint64_t from_ = 1;
  std::uint64_t last_ = 0, pending_ = 0;  // of this round's newest answer
  int round_ = 0;
  bool denied_ = false;
  std::uint64_t denial_sink_;
};

}  // namespace

task<result<bool>> take_directly(nats::connection& nc, std::string stream, std::vector<std::string> filters,
                                 const std::function<bool()>& go_on, take_message take,
                                 std::chrono::milliseconds max_silence) {
  direct_reading all(nc, std::move(stream), std::move(filters), go_on, std::move(take), max_silence);
  co_return co_await all.read();
}

}  // namespace recordkv::kv
