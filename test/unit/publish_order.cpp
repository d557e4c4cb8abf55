// X1 and X10 against a model, with random faults: a stream that refuses, forgets to answer, answers late, is cut off.
//
// Owns: the model of a stream behind a connection, the faults, and the rules that hold after every step.
// Does not know: how the plan decides. A seed names each history, so that a failure can be run again.
#include "publish_rig.hpp"

#include <catch2/catch_test_macros.hpp>

#include <deque>
#include <map>
#include <random>

using namespace recordkv;
using namespace recordkv::test;

namespace {

constexpr std::size_t window = 8;

// A stream behind a connection. What is sent waits in `wire`, in order; the answers wait in `answers`, in order.
struct model_stream {
  struct answer {
    std::uint64_t attempt;
    nats::ordinal number;
    result<std::uint64_t> ack;
  };

  // Takes the next message off the wire. `refusal`: what it says instead of storing it.
  void take(std::optional<errc> refusal, bool answers_it) {
    if (wire.empty()) return;
    const auto m = std::move(wire.front());
    wire.pop_front();
    const auto expected = m.header("Nats-Expected-Last-Sequence");
    if (!m.is_marker() && m.data.starts_with("huge")) refusal = errc::too_large;
    if (!refusal && !expected.empty() && expected != std::to_string(stored.size())) refusal = errc::conflict;
    if (!refusal) stored.push_back(m);
    if (answers_it)
      answers.push_back({m.attempt, m.number,
                         refusal ? result<std::uint64_t>(error{*refusal, "no"})
                                 : result<std::uint64_t>(std::uint64_t{stored.size()})});
  }
  // The connection goes: of what is on the wire the stream still gets the first `arrives`; no answer does.
  void cut(std::size_t arrives) {
    for (; arrives > 0 && !wire.empty(); --arrives) take({}, false);
    wire.clear();
    answers.clear();
  }

  std::deque<sent_message> wire;
  std::deque<answer> answers;
  std::vector<sent_message> stored;
};

class history {
 public:
  history(unsigned seed, bool fenced)
      : random_(seed),
        fenced_(fenced),
        rig_({.limits = {.count = window}, .fenced = fenced, .answer_limit = std::chrono::milliseconds(500)}) {}

  // The first rule that was broken, or empty.
  std::string run() {
    for (int i = 0; i < 400; ++i) {
      step(true);
      if (auto wrong = check(); !wrong.empty()) return fmt::format("step {}: {}", i, wrong);
    }
    rig_.permitted = rig_.link.up = true;
    for (int i = 0; i < 4000 && rig_.plan.in_flight() > 0; ++i) {
      step(false);
      if (auto wrong = check(); !wrong.empty()) return fmt::format("step {} to the end: {}", i, wrong);
    }
    if (rig_.plan.floor() != put_.size()) return "it does not come to its end";
    return check_end();
  }

 private:
  std::size_t draw(std::size_t n) { return random_() % n; }

  void step(bool with_faults) {
    switch (draw(with_faults ? 12 : 6)) {
      case 0:
      case 1:
      case 2: stream_.take(with_faults && draw(6) == 0 ? std::optional(errc::full) : std::nullopt, true); break;
      case 3: answer(); break;
      case 4: rig_.later(std::chrono::milliseconds(draw(200))); break;
      case 5: ask(with_faults); break;
      case 6:
      case 7: put(); break;
      case 8: answer(); break;
      case 9: stream_.take({}, draw(3) != 0); break;
      case 10:
        if (draw(4) == 0) cut();
        break;
      default: rig_.permitted = draw(4) != 0; break;
    }
    rig_.send();
    deliver();
  }

  void put() {
    if (rig_.plan.full()) return;
    if (!fenced_ && draw(8) == 0) {
      put_.push_back({"", ""});
      rig_.plan.skip(rig_.now);
      return;
    }
    const auto n = std::to_string(put_.size());
    put_.push_back({"key." + std::to_string(draw(3)), (draw(10) == 0 ? "huge " : "") + n});
    rig_.put(put_.back().key, put_.back().value);
  }
  void answer() {
    if (stream_.answers.empty()) return;
    const auto a = std::move(stream_.answers.front());
    stream_.answers.pop_front();
    rig_.plan.answered(a.attempt, a.number, a.ack, rig_.now);
  }
  void cut() {
    stream_.cut(draw(window));
    ++rig_.link.connects;
  }
  // The answer may be older than the permit, and messages may be stored in between.
  void ask(bool with_faults) {
    if (!rig_.should_ask()) return;
    rig_.plan.asking();
    const auto now_there = stream_of(stream_.stored.size());
    if (with_faults && draw(3) == 0) stream_.take({}, true);
    if (with_faults && draw(3) == 0) answer();
    if (rig_.plan.told(with_faults && draw(8) == 0 ? result<nats::stream_state>(error{errc::timed_out, "no answer"})
                                                   : result<nats::stream_state>(now_there),
                       rig_.now))
      rig_.plan.resume(rig_.permitted, rig_.now);
  }
  void deliver() {
    if (!rig_.permitted && rig_.sent.size() != delivered_) sent_unpermitted_ = true;
    for (; delivered_ < rig_.sent.size(); ++delivered_) stream_.wire.push_back(rig_.sent[delivered_]);
  }

  std::string check() {
    const auto floor = rig_.plan.floor();
    if (sent_unpermitted_) return "something was sent without a permit";
    if (rig_.plan.halted() != nats::halt::none) return "halted: " + rig_.plan.last_error();
    if (rig_.plan.in_flight() > window) return "more than the window is in flight";
    if (floor < last_floor_) return "the floor went down";
    last_floor_ = floor;
    return fenced_ ? check_sequence(floor) : check_values(floor);
  }
  // X1: the stream holds what was put, in order, without a hole and without a repetition.
  std::string check_sequence(nats::ordinal floor) const {
    if (stream_.stored.size() < floor) return "the floor is above what is stored";
    for (std::size_t i = 0; i < stream_.stored.size(); ++i)
      if (stream_.stored[i].number != i) return fmt::format("{} lies where {} belongs", stream_.stored[i].number, i);
    return {};
  }
  // X10: below the floor nothing is missing, and no older value lies above the last one of its key.
  std::string check_values(nats::ordinal floor) const {
    std::map<nats::ordinal, bool> there;
    std::map<std::string, nats::ordinal> newest;
    for (const auto& m : stream_.stored) {
      there[m.number] = true;
      newest[m.subject] = m.number;
    }
    for (nats::ordinal o = 0; o < floor; ++o) {
      if (put_[o].key.empty()) continue;
      if (!there.contains(o)) return fmt::format("{} counts as durable and is not stored", o);
      if (newest[put_[o].key] < o) return fmt::format("{} lies above {}", newest[put_[o].key], o);
    }
    return {};
  }
  // The last value of each key is the one that was put last; what can't be stored is a delete marker.
  std::string check_end() const {
    std::map<std::string, std::string> wanted, found;
    for (const auto& p : put_)
      if (!p.key.empty()) wanted[p.key] = p.value.starts_with("huge") ? "" : p.value;
    for (const auto& m : stream_.stored) found[m.subject] = m.is_marker() ? "" : m.data;
    return wanted == found ? "" : "the last values differ";
  }

  struct value {
    std::string key, value;  // an empty key: a skipped ordinal
  };
  std::mt19937 random_;
  bool fenced_;
  plan_rig rig_;
  model_stream stream_;
  std::vector<value> put_;
  std::size_t delivered_ = 0;
  nats::ordinal last_floor_ = 0;
  bool sent_unpermitted_ = false;
};

}  // namespace

TEST_CASE(
    "X10: random refusals, silences and cuts: the last value of each key wins, and nothing acknowledged is lost") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    INFO("seed " << seed);
    REQUIRE(history(seed, false).run() == "");
  }
}

TEST_CASE("X1: random refusals, silences and cuts: the stream holds what was put, in order, without a hole") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    INFO("seed " << seed);
    REQUIRE(history(seed, true).run() == "");
  }
}
