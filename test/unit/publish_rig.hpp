// A plan of a publisher between a test and a stream that the test plays. No server, no loop, no clock.
//
// Owns: the time, the link, the permit, and the list of what the plan has sent.
// Does not know: what a test expects.
#pragma once

#include "recordkv/core/part_stats.hpp"
#include "recordkv/nats/jetstream.hpp"
#include "recordkv/nats/publish_plan.hpp"

#include <string>
#include <vector>

namespace recordkv::test {

using std::chrono::milliseconds;
using words = std::vector<std::string>;

/// A stream without limits that holds `last` messages.
inline nats::stream_state stream_of(std::uint64_t last) {
  return {.created = "2026-01-01", .messages = last, .last_seq = last};
}

struct sent_message {
  std::uint64_t attempt;
  nats::ordinal number;
  std::string subject, data;
  nats::header_list headers;

  std::string header(std::string_view name) const {
    for (const auto& h : headers)
      if (h.name == name) return h.value;
    return {};
  }
  bool is_marker() const { return header("KV-Operation") == "DEL"; }
};

struct plan_rig {
  explicit plan_rig(nats::publish_rules r = {}, const nats::stream_state& at = stream_of(0)) : rules(with_name(r)) {
    plan.attach(at, link);
  }

  nats::ordinal put(std::string subject, std::string data) {
    const auto size = plan.measure(subject, {}, data, {});
    const auto o = plan.open(std::move(subject), {}, std::move(data), size ? *size : 0, now);
    send();
    return o;
  }
  /// "0", "1", … under keys of their own.
  void put_counted(int n) {
    for (int i = 0; i < n; ++i) put("s." + std::to_string(i), std::to_string(i));
  }
  void send() {
    while (const auto m = plan.next(now, permitted))
      sent.push_back({m->attempt, m->number, m->subject, std::string(m->payload), m->headers});
    for (auto& n : plan.take_notices()) notices.push_back((n.warning ? "warning: " : "info: ") + n.text);
  }
  /// The stream acknowledges the i-th message that was sent.
  void ack(std::size_t i, std::uint64_t seq) {
    plan.answered(sent.at(i).attempt, sent[i].number, seq, now);
    send();
  }
  void refuse(std::size_t i, errc code, std::string text = "no") {
    plan.answered(sent.at(i).attempt, sent[i].number, error{code, std::move(text)}, now);
    send();
  }
  void later(milliseconds passed) {
    now += passed;
    plan.look(link, now);
    send();
  }
  bool should_ask() const { return plan.should_ask(link, now); }
  /// Waits until the plan wants to ask and tells it what the stream holds. False: it did not want to, or the answer
  /// does not let it go on.
  bool ask(const result<nats::stream_state>& answer) {
    for (int i = 0; i < 100 && !should_ask(); ++i) later(milliseconds(100));
    if (!should_ask()) return false;
    plan.asking();
    const bool goes_on = plan.told(answer, now);
    if (goes_on) plan.resume(permitted, now);
    send();
    return goes_on;
  }
  /// What was sent from the i-th message on.
  words data(std::size_t from = 0) const {
    words out;
    for (std::size_t i = from; i < sent.size(); ++i) out.push_back(sent[i].data);
    return out;
  }

  static nats::publish_rules with_name(nats::publish_rules r) {
    r.stream = "S";
    return r;
  }

  nats::publish_rules rules;
  meters counters;
  nats::publish_plan::time now{std::chrono::hours(1)};
  nats::link_state link{.up = true, .connects = 1};
  bool permitted = true;
  std::vector<sent_message> sent;
  words notices;
  nats::publish_plan plan{rules, counters, 1};
};

}  // namespace recordkv::test
