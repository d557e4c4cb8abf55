// The parts of the kv pipeline, each alone: handles, decoder, order, cache, settlement.
#include "accounts/event_rules.hpp"
#include "kv_apply_rig.hpp"
#include "recordkv/kv/frame_batch.hpp"

using namespace recordkv;
using namespace recordkv::test;
using stages::account_order;
using stages::event_handle;
using stages::kv_event;

namespace {

nats::message message_of(std::uint64_t n, std::string_view payload = "") {
  return nats::message::make("ingest.0", fmt::format("$JS.ACK.ingest.kv.1.{}.{}.0.0", n, n), payload);
}

kv_event event_for(const std::string& did, unsigned n) {
  atproto::repo_event what;
  what.did = did;
  what.rev = rev(n);
  return {std::make_unique<atproto::repo_event>(std::move(what)), event_handle(message_of(n)), 10};
}

words popped(account_order& order) {
  words out;
  while (auto e = order.pop()) out.push_back(e->what->did + " " + e->what->rev);
  return out;
}

std::string step(const std::string& did, unsigned n) { return did + " " + rev(n); }

/// A settlement between fakes.
struct settle_rig {
  explicit settle_rig(std::size_t max_unsettled = 1000)
      : settles(in, out, states.port(), 0ms, max_unsettled, counters) {
    asio::co_spawn(io, settles.run(), [this](std::exception_ptr, result<void> r) { ended = r; });
  }
  nats::ordinal put() {
    auto done = run_coroutine(io, out.put("s", {}, "v"));
    REQUIRE(done);
    return **done;
  }
  meters counters;
  journal happened;
  fake_inbox in{happened};
  fake_outbox out{happened};
  fake_states states{happened};
  stages::account alice_;
  std::optional<result<void>> ended;
  stages::settlement settles;
  asio::io_context io{1};
};

}  // namespace

TEST_CASE("a message is acknowledged when the last of its handles has settled") {
  journal happened;
  fake_inbox in(happened);
  event_handle first(message_of(7));
  auto second = first.another();
  auto third = second.another();
  third.settle(in);
  first.settle(in);
  CHECK(in.settled.empty());
  second.settle(in);
  CHECK(in.settled == numbers{7});
}

TEST_CASE("a handle that is dropped leaves its message unacknowledged") {
  journal happened;
  fake_inbox in(happened);
  event_handle kept(message_of(7));
  {
    auto dropped = kept.another();
  }
  kept.settle(in);
  CHECK(in.settled.empty());
}

TEST_CASE("a batch becomes an event for each frame, and its message is acknowledged once all have settled") {
  meters counters;
  journal happened;
  fake_inbox in(happened);
  std::string batch;
  for (unsigned n : {5U, 6U}) {
    const auto frame = event_of(alice, n, "a");
    kv::append_frame(batch, {.seq = 40 + n, .bytes = frame});
  }
  std::vector<nats::message> messages;
  messages.push_back(message_of(1, event_of(alice, 4, "a")));
  messages.push_back(message_of(2, batch));
  messages.push_back(message_of(3, event_of(alice, 7, "a")));
  asio::io_context io{1};
  auto events = run_coroutine(io, stages::decode_unverified(std::move(messages)));
  REQUIRE(events);
  REQUIRE(events->size() == 4);
  for (unsigned n = 0; n < 4; ++n) CHECK((*events)[n].what->rev == rev(4 + n));
  CHECK((*events)[0].source_seq == 0);
  CHECK((*events)[1].source_seq == 45);
  CHECK((*events)[2].source_seq == 46);
  (*events)[2].from.settle(in);
  CHECK(in.settled.empty());
  (*events)[1].from.settle(in);
  CHECK(in.settled == numbers{2});
}

TEST_CASE("X11: the number of an #account is its own, not that up to which its message vouches") {
  auto e = event_for(alice, 1);
  e.from = event_handle(nats::message::make("ingest.0", "", "", {{"from", "firehose.relay/2Eexample 1 50"}}));
  kv::repo_state state;
  for (const auto& [own, noted] : {std::pair{45U, true}, {45U, false}, {46U, true}, {0U, true}, {47U, false}}) {
    e.source_seq = own;
    INFO(own);
    CHECK(stages::note_account_number(state, e) == noted);
  }
  REQUIRE(state.account_seq.size() == 1);
  CHECK(state.account_seq.front().seq == 50);
  CHECK(state.account_seq.front().epoch == "1");
}

TEST_CASE("a batch whose frames can't be told apart becomes one undecoded event") {
  std::vector<nats::message> messages;
  messages.push_back(message_of(1, std::string_view("\1\4\0\0", 4)));
  messages.push_back(message_of(2, event_of(alice, 7, "a")));
  asio::io_context io{1};
  auto events = run_coroutine(io, stages::decode_unverified(std::move(messages)));
  REQUIRE(events);
  REQUIRE(events->size() == 2);
  CHECK(events->front().undecoded);
  CHECK(events->front().what->reason == "batch");
  CHECK(events->front().what->did.empty());
  CHECK((*events)[1].what->rev == rev(7));
}

TEST_CASE("each message becomes one event, in order; a payload that can't be decoded keeps its account and reason") {
  std::vector<nats::message> batch;
  batch.push_back(message_of(1, event_of(alice, 1, "a")));
  batch.push_back(message_of(2, fmt::format(R"({{"did":"{}","kind":"commit","commit":7}})", bob)));
  batch.push_back(message_of(3, "neither JSON nor CBOR"));
  asio::io_context io;
  const auto events = run_coroutine(io, stages::decode_unverified(std::move(batch)));
  REQUIRE(events);
  REQUIRE(events->size() == 3);
  CHECK((*events)[0].what->did == alice);
  CHECK_FALSE((*events)[0].undecoded);
  CHECK((*events)[1].undecoded);
  CHECK((*events)[2].undecoded);
  CHECK((*events)[2].what->did.empty());
  CHECK_FALSE((*events)[2].what->reason.empty());
}

TEST_CASE("events of one account keep their order while it is held, and events of other accounts pass") {
  account_order order;
  for (unsigned n = 1; n <= 2; ++n) {
    order.push(event_for(alice, n));
    order.push(event_for(bob, n));
  }
  auto first = order.pop();
  REQUIRE(first->what->did == alice);
  order.hold(std::move(*first));
  CHECK(order.holds(alice));
  CHECK(popped(order) == words{step(bob, 1), step(bob, 2)});
  CHECK(order.size() == 2);
  CHECK(order.bytes() == 20);
  order.push(event_for(alice, 3));
  order.push(event_for(carol, 1));
  CHECK(popped(order) == words{step(carol, 1)});
  order.push(event_for(alice, 4));  // not yet put aside: those before it must still come first
  order.release(alice);
  CHECK(popped(order) == words{step(alice, 1), step(alice, 2), step(alice, 3), step(alice, 4)});
  CHECK(order.empty());
  CHECK(order.bytes() == 0);
}

TEST_CASE("an account may be held again as soon as it was released, and an unknown one released without effect") {
  account_order order;
  order.release(bob);
  order.push(event_for(alice, 1));
  order.push(event_for(alice, 2));
  order.hold(*order.pop());
  CHECK_FALSE(order.pop());
  order.release(alice);
  order.hold(*order.pop());
  CHECK_FALSE(order.pop());
  CHECK(order.size() == 2);
  order.release(alice);
  CHECK(popped(order) == words{step(alice, 1), step(alice, 2)});
}

TEST_CASE("X9: the cache forgets the account that was not used for longest, and none that is held or unwritten") {
  stages::account_cache cache(2);
  for (const auto& did : {alice, bob, carol}) cache.add(did, {});
  cache.use(alice);
  cache.evict();
  CHECK_FALSE(cache.contains(bob));
  CHECK(cache.contains(alice));
  cache.use(carol).in_flight = 1;
  cache.use(alice).durable = std::make_unique<kv::repo_state>();
  cache.add(bob, {});
  cache.evict();
  CHECK_FALSE(cache.contains(bob));
  CHECK(cache.contains(carol));
  CHECK(cache.contains(alice));
}

TEST_CASE("X9: a state that is read does not replace the one in memory") {
  stages::account_cache cache(10);
  cache.add(alice, {.state = state_at(alice, 1), .seq = 4});
  cache.use(alice).newest.rev = rev(2);
  cache.add(alice, {.state = state_at(alice, 1), .seq = 9});
  CHECK(cache.use(alice).newest.rev == rev(2));
  CHECK(cache.use(alice).seq == 4);
}

TEST_CASE("X9: an event settles once its puts are durable and its account's state is written, in that order") {
  settle_rig rig;
  rig.alice_.newest = state_at(alice, 1);
  rig.out.cork();
  const auto put = rig.put();
  rig.settles.add(put, event_for(alice, 1), &rig.alice_);
  settle_down(rig.io);
  CHECK(rig.in.settled.empty());
  CHECK(rig.states.written.empty());
  CHECK(rig.alice_.in_flight == 1);
  rig.states.hold();
  rig.out.uncork();
  REQUIRE(becomes(rig.io, [&] { return rig.states.saves_begun == 1; }));
  settle_down(rig.io);
  CHECK(rig.in.settled.empty());
  CHECK(rig.settles.unsettled() == 1);
  rig.states.release();
  REQUIRE(becomes(rig.io, [&] { return rig.settles.unsettled() == 0; }));
  CHECK(rig.in.settled == numbers{1});
  CHECK(rig.alice_.in_flight == 0);
  CHECK_FALSE(rig.alice_.durable);
  rig.settles.finish();
  CHECK(becomes(rig.io, [&] { return rig.ended.has_value(); }));
}

TEST_CASE("X9: a commit's progress is written with the rev that is durable, not with the newest") {
  settle_rig rig;
  rig.out.cork();
  rig.alice_.newest = state_at(alice, 1);
  rig.settles.add_progress(rig.put(), event_for(alice, 1), rig.alice_);
  rig.alice_.newest.rev = rev(2);
  rig.settles.add_progress(rig.put(), event_for(alice, 2), rig.alice_);
  rig.out.let(1);
  REQUIRE(becomes(rig.io, [&] { return rig.in.settled == numbers{1}; }));
  REQUIRE(rig.states.written.size() == 1);
  CHECK(rig.states.written.front().rev == rev(1));
  rig.out.let(1);
  REQUIRE(becomes(rig.io, [&] { return rig.in.settled == numbers{1, 2}; }));
  CHECK(rig.states.find(alice)->rev == rev(2));
}

TEST_CASE("X9: a commit's progress brings along what else is new, also behind a whole change of the same round") {
  settle_rig rig;
  rig.out.cork();
  rig.alice_.newest = state_at(alice, 1);
  rig.alice_.newest.collections = {"a.b.first"};
  rig.settles.add(rig.put(), event_for(alice, 1), &rig.alice_);
  rig.alice_.newest.rev = rev(2);
  rig.alice_.newest.seen = rev(2);
  rig.alice_.newest.collections.emplace_back("a.b.second");  // without it, a removal would not find these records
  rig.settles.add_progress(rig.put(), event_for(alice, 2), rig.alice_);
  rig.out.uncork();
  REQUIRE(becomes(rig.io, [&] { return rig.in.settled == numbers{1, 2}; }));
  REQUIRE(rig.states.written.size() == 1);
  const auto& written = rig.states.written.front();
  CHECK(written.rev == rev(2));
  CHECK(written.seen == rev(2));
  CHECK(written.collections == std::vector<std::string>{"a.b.first", "a.b.second"});
}

TEST_CASE("X9: a commit's progress waits while another change of its account's state is not durable") {
  settle_rig rig;
  rig.out.cork();
  rig.alice_.newest = state_at(alice, 1);
  rig.settles.add_progress(rig.put(), event_for(alice, 1), rig.alice_);
  rig.alice_.newest.rev = rev(2);
  rig.alice_.newest.complete = true;  // as after a repair, whose puts are on their way
  rig.settles.add(rig.put(), event_for(alice, 2), &rig.alice_);
  rig.out.let(1);
  settle_down(rig.io);
  CHECK(rig.states.written.empty());
  CHECK(rig.in.settled.empty());
  rig.out.let(1);
  REQUIRE(becomes(rig.io, [&] { return rig.in.settled == numbers{1, 2}; }));
  REQUIRE(rig.states.written.size() == 1);
  CHECK(rig.states.written.front().rev == rev(2));
  CHECK(rig.states.written.front().complete);
}

TEST_CASE("an event that changes no state settles without a write") {
  settle_rig rig;
  rig.settles.add(rig.out.skip(), event_for(alice, 1), nullptr);
  REQUIRE(becomes(rig.io, [&] { return rig.in.settled == numbers{1}; }));
  CHECK(rig.states.saves_begun == 0);
}

TEST_CASE("the settlement ends with lease_lost, and acknowledges nothing then") {
  settle_rig rig;
  rig.states.stand(state_at(alice, 1));
  rig.alice_.newest = state_at(alice, 2);
  rig.alice_.seq = 77;  // another process has written since
  rig.settles.add(rig.out.skip(), event_for(alice, 1), &rig.alice_);
  REQUIRE(becomes(rig.io, [&] { return rig.ended.has_value(); }));
  CHECK(rig.ended->error().code == errc::lease_lost);
  CHECK(rig.in.settled.empty());
}

TEST_CASE("an account whose state is still being read holds up no other, and keeps its own order") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  auto port = rig.states.port();
  event answered;
  bool may_answer = false;
  rig.load =
      [&, load = port.load](std::vector<std::string> dids) -> task<std::vector<result<stages::state_port::stored>>> {
    const bool slow = dids.front() == alice;
    while (slow && !may_answer) co_await answered.wait();
    co_return co_await load(std::move(dids));
  };
  rig.start();
  rig.in.deliver(commit_frame{.n = 2}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.in.taken == 1; }));
  settle_down(rig.io);
  rig.in.deliver({commit_frame{.did = bob, .n = 1}.bytes(), commit_frame{.n = 3}.bytes()});
  REQUIRE(rig.settles(1));
  CHECK(rig.in.settled == numbers{2});
  CHECK(rig.apply->unsettled() == 2);
  may_answer = true;
  answered.notify();
  REQUIRE(rig.settles(3));
  CHECK(rig.in.settled == numbers{2, 1, 3});
  CHECK(rig.apply->desynchronised() == 0);  // applied in order: no gap
  CHECK(rig.states.find(alice)->rev == rev(3));
  CHECK(rig.finish());
}

TEST_CASE("a step between decode and order is a decoder around the decoder") {
  kv_rig rig;
  rig.decode = [](std::vector<nats::message> batch) -> task<std::vector<kv_event>> {
    auto events = co_await stages::decode_unverified(std::move(batch));
    for (auto& e : events)
      if (e.what->did == bob) e.what->kind = atproto::event_kind::unknown;
    co_return events;
  };
  rig.start();
  rig.in.deliver({event_of(alice, 1, "a"), event_of(bob, 1, "b")});
  REQUIRE(rig.settles(2));
  CHECK(rig.out.sent.size() == 1);
  CHECK(rig.ignored("unknown") == 1);
}

TEST_CASE("one message may carry several events: it is acknowledged after the last") {
  kv_rig rig;
  rig.out.cork();
  rig.decode = [](std::vector<nats::message> batch) -> task<std::vector<kv_event>> {
    std::vector<kv_event> events;
    for (auto& m : batch) {
      auto first = atproto::decode_event(event_of(alice, 1, "a")),
           second = atproto::decode_event(event_of(bob, 1, "b"));
      event_handle from(std::move(m));
      auto also = from.another();
      events.push_back({std::make_unique<atproto::repo_event>(std::move(*first)), std::move(from), 5});
      events.push_back({std::make_unique<atproto::repo_event>(std::move(*second)), std::move(also), 5});
    }
    co_return events;
  };
  rig.start();
  rig.in.deliver("two in one");
  REQUIRE(rig.waits_for([&] { return rig.out.sent.size() == 2; }));
  CHECK(rig.apply->taken() == 2);
  rig.out.let(1);
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 1; }));
  CHECK(rig.in.settled.empty());
  rig.out.let(1);
  REQUIRE(rig.settles(1));
  CHECK(rig.in.settled == numbers{1});
}

TEST_CASE("an account whose state can't be read stays held, holds up no other, and is named") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  bool damaged = true;
  rig.load = [&, load = rig.states.port().load](
                 std::vector<std::string> dids) -> task<std::vector<result<stages::state_port::stored>>> {
    auto found = co_await load(dids);
    for (std::size_t i = 0; i < dids.size(); ++i)
      if (damaged && dids[i] == alice) found[i] = fail(errc::malformed, "account {}: no JSON", alice);
    co_return found;
  };
  rig.start();
  rig.in.deliver(
      {commit_frame{.n = 2}.bytes(), commit_frame{.did = bob, .n = 1}.bytes(), commit_frame{.n = 3}.bytes()});
  REQUIRE(rig.settles(1));
  CHECK(rig.in.settled == numbers{2});
  CHECK(rig.apply->last_error().find(alice) != std::string::npos);
  CHECK(rig.apply->unsettled() == 2);
  rig.in.deliver(commit_frame{.did = carol, .n = 1}.bytes());
  REQUIRE(rig.settles(2));
  CHECK(rig.apply->last_error().find(alice) != std::string::npos);  // another load's success does not hide it
  damaged = false;
  REQUIRE(rig.settles(4));
  CHECK(rig.apply->last_error().empty());
  CHECK(rig.in.settled == numbers{2, 4, 1, 3});
  CHECK(rig.finish());
}

TEST_CASE("an account that waits for its state is read although the queue never empties") {
  kv_rig rig({}, {.count = 64});
  rig.states.stand(state_at(alice, 1));
  rig.start();
  rig.in.deliver(commit_frame{.did = bob, .n = 1}.bytes());
  REQUIRE(rig.settles(1));
  std::vector<std::string> batch{commit_frame{.n = 2}.bytes()};
  for (unsigned n = 2; n <= 700; ++n) batch.push_back(commit_frame{.did = bob, .n = n}.bytes());
  rig.out.cork();
  rig.in.deliver(batch);
  while (rig.out.sent.size() < 701) {
    rig.out.let(64);
    settle_down(rig.io);
  }
  const auto is_of_alice = [](const auto& m) { return m.subject == key_of(alice, like, "a"); };
  const auto at = std::ranges::find_if(rig.out.sent, is_of_alice) - rig.out.sent.begin();
  CHECK(at < 400);
  rig.out.uncork();
  REQUIRE(rig.settles(batch.size() + 1));
  CHECK(rig.finish());
}

TEST_CASE("no more is taken than the bytes that may stand unsettled") {
  const auto one = commit_frame{.n = 1}.bytes().size();
  kv_rig rig({.unsettled_bytes = 3 * one - 1});
  rig.out.cork();
  rig.start();
  for (unsigned n = 1; n <= 10; ++n) rig.in.deliver(commit_frame{.n = n}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.in.taken == 3; }));
  settle_down(rig.io);
  CHECK(rig.in.taken == 3);
  rig.out.uncork();
  REQUIRE(rig.settles(10));
}

TEST_CASE("abandoned while it waits for messages, for room or for a state, take() ends") {
  kv_rig rig({.unsettled_events = 2});
  rig.out.cork();
  SECTION("for messages") {}
  SECTION("for room") {
    for (unsigned n = 1; n <= 4; ++n) rig.in.deliver(commit_frame{.n = n}.bytes());
  }
  SECTION("for a state") {
    rig.load = [](std::vector<std::string> dids) -> task<std::vector<result<stages::state_port::stored>>> {
      co_return std::vector<result<stages::state_port::stored>>(dids.size(), fail(errc::timed_out, "no answer"));
    };
    rig.in.deliver(commit_frame{.n = 1}.bytes());
  }
  rig.start();
  settle_down(rig.io);
  CHECK_FALSE(rig.took.has_value());
  rig.apply->abandon();
  CHECK(rig.waits_for([&] { return rig.took && rig.settled; }));
}

TEST_CASE("an event that waits in the outbox counts as unsettled, and tells since when it waits") {
  kv_rig rig({}, {.count = 1});
  rig.out.cork();
  rig.start();
  rig.in.deliver(commit_frame{.n = 1, .paths = {like + "/a", like + "/b"}}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.out.sent.size() == 1; }));
  settle_down(rig.io);
  CHECK(rig.apply->unsettled() == 1);
  CHECK(rig.apply->oldest().has_value());
  rig.out.uncork();
  REQUIRE(rig.settles(1));
  CHECK(rig.finish());
}
