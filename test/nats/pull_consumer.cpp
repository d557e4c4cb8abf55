// Rule X6: a process that takes over a durable consumer gets what is unacknowledged. It comes from the first on and in
// order, whatever happened before.
#include "recordkv/nats/pull_consumer.hpp"

#include "../support/nats_process.hpp"

#include <boost/json.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;

namespace {

task<result<words>> take(nats::pull_consumer& from, std::size_t n, std::size_t settled = 0) {
  words out;
  while (out.size() < n) {
    auto batch = co_await from.next();
    if (!batch) co_return batch.error();
    for (const auto& m : *batch) {
      out.emplace_back(m.data());
      if (out.size() <= settled) from.settle(m);
    }
  }
  co_return out;
}

words range(int first, int last) {
  words out;
  for (int i = first; i <= last; ++i) out.push_back(std::to_string(i));
  return out;
}

struct consumer_rig : nats_rig {
  /// A stream with messages "1" to "n".
  void fill(int n, bool queue = true) {
    if (first_ == 1)
      stream("S", queue ? R"({"subjects":["s.*"],"retention":"workqueue","allow_direct":true})"
                        : R"({"subjects":["s.*"],"allow_direct":true})");
    for (const auto last = first_ + n; first_ < last; ++first_) publish("s.a", std::to_string(first_));
  }
  nats::consumer_spec spec(nats::acks policy = nats::acks::each) const {
    return {.stream = "S", .durable = "d", .policy = policy};
  }
  std::unique_ptr<nats::pull_consumer> attach(nats::connection& on, nats::consumer_spec s, int level,
                                              std::function<std::uint64_t()> start = {}) {
    auto made = std::make_unique<nats::pull_consumer>(on, std::move(s), counters, level, std::move(start));
    auto attached = run(made->attach());
    if (!attached) FAIL(attached.error().text);
    return made;
  }
  words taken(nats::pull_consumer& from, std::size_t n, std::size_t settled = 0) {
    auto got = run(take(from, n, settled));
    if (!got) FAIL(got.error().text);
    return *got;
  }
  std::int64_t consumer(std::string_view field) { return api("CONSUMER.INFO.S.d").at(field).as_int64(); }
  int a_level() { return GENERATE(true, false) ? api_level() : 0; }  // CONSUMER.RESET, or delete and create

 private:
  int first_ = 1;
};

/// Another client of the same durable consumer. The server has promised it the next three messages.
struct thief {
  explicit thief(consumer_rig& rig) : nc(rig.connect()) {
    auto subscribed = nc->subscribe("stolen");
    REQUIRE(subscribed.has_value());
    stolen = std::move(*subscribed);
    REQUIRE(
        nc->publish("$JS.API.CONSUMER.MSG.NEXT.S.d", "stolen", {}, R"({"batch":3,"expires":20000000000})").has_value());
    REQUIRE(rig.run(nc->flush()).has_value());
  }
  std::unique_ptr<nats::connection> nc;
  nats::subscription stolen;
};

}  // namespace

TEST_CASE("X6: the next client gets what the dead one left, in order") {
  consumer_rig rig;
  const bool queue = GENERATE(true, false);
  const auto policy = queue ? nats::acks::each : nats::acks::all;
  const auto level = rig.a_level();
  INFO("api level " << level << (queue ? ", work queue" : ", limits, acks that count for all before"));
  rig.fill(10, queue);
  {
    auto other = rig.connect();
    auto s = rig.spec(policy);
    s.credit = 5;
    auto first = rig.attach(*other, s, level);
    CHECK(rig.taken(*first, 5, 2) == range(1, 5));
    REQUIRE(rig.run(other->flush()).has_value());
    // Two are acknowledged. Where the five came in two batches, more was requested in between. The other client has it,
    // too.
    REQUIRE(rig.waits_for([&] { return rig.consumer("num_ack_pending") + rig.consumer("num_pending") == 8; }));
  }
  // On a limits stream only the consumer itself knows what is acknowledged: it keeps a position of its own.
  const std::function<std::uint64_t()> start = [] { return std::uint64_t{3}; };
  auto next = rig.attach(rig.nc, rig.spec(policy), level, queue ? std::function<std::uint64_t()>{} : start);
  CHECK(rig.taken(*next, 8, 8) == range(3, 10));
  CHECK(rig.waits_for([&] { return rig.consumer("num_ack_pending") == 0; }));
}

TEST_CASE("X6: after a reconnect it begins again at the first unacknowledged") {
  consumer_rig rig;
  rig.fill(10);
  auto in = rig.attach(rig.nc, rig.spec(), rig.a_level());
  auto batch = rig.run(in->next());
  REQUIRE(batch.has_value());
  std::vector<nats::message> held = std::move(*batch);
  while (held.size() < 10) {
    auto more = rig.run(in->next());
    REQUIRE(more.has_value());
    for (auto& m : *more) held.push_back(std::move(m));
  }
  in->settle(held[0]);
  in->settle(held[1]);
  REQUIRE(rig.waits_for([&] { return rig.consumer("num_ack_pending") == 8; }));
  const auto before = in->incarnation();
  rig.restart_server();
  CHECK(rig.taken(*in, 8) == range(3, 10));
  CHECK(in->incarnation() > before);
  CHECK(rig.counters.value("consumer_rewinds") >= 1);
  in->settle(held[5]);  // of before: the one that was delivered since is settled for itself
  REQUIRE(rig.run(rig.nc.flush()).has_value());
  CHECK(rig.consumer("num_ack_pending") == 8);
}

TEST_CASE("X6: what came before a reconnect is not acknowledged after it, but delivered again") {
  consumer_rig rig;
  rig.fill(3);
  auto in = rig.attach(rig.nc, rig.spec(), rig.a_level());
  auto held = rig.run(in->next());
  REQUIRE(held.has_value());
  rig.restart_server();
  REQUIRE(rig.waits_for([&] { return rig.nc.up(); }));
  for (const auto& m : *held) in->settle(m);
  REQUIRE(rig.run(rig.nc.flush()).has_value());
  CHECK(rig.taken(*in, 3) == range(1, 3));
}

TEST_CASE("X6: a thief on the same durable is noticed by the jump, and nothing is passed over") {
  consumer_rig rig;
  rig.fill(4);
  auto in = rig.attach(rig.nc, rig.spec(), rig.a_level());
  CHECK(rig.taken(*in, 4, 4) == range(1, 4));
  REQUIRE(rig.waits_for([&] { return rig.consumer("num_ack_pending") == 0; }));
  thief other(rig);
  rig.fill(12);  // shared out between the two
  CHECK(rig.taken(*in, 12, 12) == range(5, 16));
  CHECK(rig.counters.value("consumer_rewinds") >= 1);
  CHECK_FALSE(other.stolen.take().empty());
  CHECK(rig.waits_for([&] { return rig.info("S").messages == 0; }));
}

TEST_CASE("X6: without acknowledgements a thief on the same durable is noticed, too") {
  consumer_rig rig;
  rig.fill(4, false);
  std::uint64_t at = 1;
  auto in = rig.attach(rig.nc, rig.spec(nats::acks::none), rig.a_level(), [&] { return at; });
  CHECK(rig.taken(*in, 4) == range(1, 4));
  at = 5;
  thief other(rig);
  rig.fill(12, false);
  CHECK(rig.taken(*in, 12) == range(5, 16));
  CHECK(rig.counters.value("consumer_rewinds") >= 1);
  CHECK_FALSE(other.stolen.take().empty());
}

TEST_CASE("X6: a consumer that is deleted before anything was asked of it is made again") {
  consumer_rig rig;
  rig.fill(6);
  auto in = rig.attach(rig.nc, rig.spec(), rig.a_level());
  // No request stands that could be told "Consumer Deleted": only the missing heartbeats tell.
  REQUIRE(rig.run(nats::api(rig.nc, "CONSUMER.DELETE.S.d")).has_value());
  CHECK(rig.taken(*in, 6, 6) == range(1, 6));
}

TEST_CASE("X6: a consumer that is deleted under it is made again") {
  consumer_rig rig;
  rig.fill(6);
  auto in = rig.attach(rig.nc, rig.spec(), rig.a_level());
  CHECK(rig.taken(*in, 6, 2) == range(1, 6));
  REQUIRE(rig.waits_for([&] { return rig.consumer("num_ack_pending") == 4; }));
  rig.api("CONSUMER.DELETE.S.d");
  CHECK(rig.taken(*in, 4, 4) == range(3, 6));
}

TEST_CASE("X6: a start beyond the last message waits for the next one") {
  consumer_rig rig;
  rig.fill(5, false);
  std::uint64_t at = 1;
  const auto start = [&] { return at; };
  const auto level = rig.a_level();
  {
    auto first = rig.attach(rig.nc, rig.spec(nats::acks::all), level, start);
  }
  at = 6;
  auto in = rig.attach(rig.nc, rig.spec(nats::acks::all), level, start);
  rig.fill(3, false);
  CHECK(rig.taken(*in, 3) == range(6, 8));
}

TEST_CASE("X6: a start below the one the durable was made with is reached all the same") {
  consumer_rig rig;
  rig.fill(9, false);
  std::uint64_t at = 7;
  const auto start = [&] { return at; };
  const auto level = rig.a_level();
  auto first = rig.attach(rig.nc, rig.spec(nats::acks::all), level, start);
  CHECK(rig.taken(*first, 3) == range(7, 9));
  at = 2;
  auto in = rig.attach(rig.nc, rig.spec(nats::acks::all), level, start);
  CHECK(rig.taken(*in, 8) == range(2, 9));
}

TEST_CASE("X6: the start is asked anew at every rewind") {
  consumer_rig rig;
  rig.fill(9, false);
  std::uint64_t at = 2;
  auto in = rig.attach(rig.nc, rig.spec(nats::acks::all), rig.a_level(), [&] { return at; });
  CHECK(rig.taken(*in, 8) == range(2, 9));
  at = 6;
  rig.restart_server();
  CHECK(rig.taken(*in, 4) == range(6, 9));
}

TEST_CASE("no more is delivered than was asked for while nobody takes it") {
  consumer_rig rig;
  rig.fill(200);
  auto s = rig.spec();
  s.credit = 16;
  auto in = rig.attach(rig.nc, s, rig.api_level());
  std::size_t got = 0;
  const auto delivered = [&] {
    return rig.api("CONSUMER.INFO.S.d").at("delivered").as_object().at("consumer_seq").as_int64();
  };
  while (got < 60) {
    auto batch = rig.run(in->next());
    REQUIRE(batch.has_value());
    got += batch->size();
    REQUIRE(rig.run(rig.nc.flush()).has_value());
    CHECK(delivered() <= static_cast<std::int64_t>(got + 16));
  }
  const auto rest = rig.taken(*in, 200 - got);
  CHECK(rest.back() == "200");
}

TEST_CASE("a request that is completed ends for itself, and is no reason to ask for the others' messages again") {
  consumer_rig rig;
  rig.fill(15);
  auto s = rig.spec();
  s.credit = 16;
  auto in = rig.attach(rig.nc, s, rig.api_level());
  CHECK(rig.taken(*in, 15) == range(1, 15));  // 1 is left of the first request
  const auto wait_for_next = [&](std::size_t n, std::optional<result<words>>& got) {
    asio::co_spawn(rig.io, take(*in, n), [&](std::exception_ptr, result<words> r) { got = std::move(r); });
    REQUIRE(rig.run(rig.nc.flush()).has_value());
  };
  std::optional<result<words>> later, last;
  wait_for_next(2, later);
  REQUIRE(rig.waits_for([&] { return rig.consumer("num_waiting") == 2; }));  // 15 more have been asked for
  rig.fill(2);  // the server serves both in turn, so it completes the first
  REQUIRE(rig.waits_for([&] { return later.has_value(); }));
  wait_for_next(1, last);
  rig.fill(100);
  REQUIRE(rig.waits_for([&] { return last.has_value() && rig.consumer("num_waiting") == 0; }));
  CHECK(rig.api("CONSUMER.INFO.S.d").at("delivered").as_object().at("consumer_seq").as_int64() <= 17 + 16);
}

TEST_CASE("while the server says nothing it asks again, and nothing comes twice or out of order") {
  consumer_rig rig;
  rig.fill(3);
  auto in = rig.attach(rig.nc, rig.spec(), rig.api_level());
  CHECK(rig.taken(*in, 3, 3) == range(1, 3));
  std::optional<result<words>> later;
  asio::co_spawn(rig.io, take(*in, 4, 4), [&](std::exception_ptr, result<words> r) { later = std::move(r); });
  rig.server.pause();
  const auto until = std::chrono::steady_clock::now() + 5500ms;  // two heartbeats, and a little
  rig.waits_for([&] { return std::chrono::steady_clock::now() > until; });
  rig.server.resume();
  rig.fill(4);
  REQUIRE(rig.waits_for([&] { return later.has_value(); }));
  REQUIRE(later->has_value());
  CHECK(**later == range(4, 7));
  CHECK(rig.nc.connects() == 1);
}

TEST_CASE("an existing durable with other settings is refused with both sides shown") {
  consumer_rig rig;
  rig.fill(1, false);
  rig.api("CONSUMER.DURABLE.CREATE.S.d",
          R"({"stream_name":"S","config":{"durable_name":"d","ack_policy":"none","filter_subject":"s.x"}})");
  nats::pull_consumer in(rig.nc, rig.spec(), rig.counters, rig.api_level());
  const auto attached = rig.run(in.attach());
  REQUIRE(attached.has_error());
  CHECK(attached.error().code == errc::mismatch);
  CHECK(attached.error().text.find(R"(ack_policy is "none", must be "explicit")") != std::string::npos);
  CHECK(attached.error().text.find(R"(filter is "s.x", must be "")") != std::string::npos);
}

// By another program: its filter, or whatever else of its configuration, and whether our seal stays in it.
void edit(consumer_rig& rig, std::string_view change, bool keep_seal) {
  auto config = rig.api("CONSUMER.INFO.S.d").at("config").as_object();
  if (!keep_seal) config.erase("metadata");
  const auto changes = boost::json::parse(change);
  for (const auto& [key, value] : changes.get_object()) config[key] = value;
  rig.api("CONSUMER.DURABLE.CREATE.S.d",
          boost::json::serialize(boost::json::object{{"stream_name", "S"}, {"config", config}}));
}

TEST_CASE("X22: a durable that another program edits is made anew, and nothing is passed over") {
  consumer_rig rig;
  const std::string_view change = GENERATE(R"({"filter_subject":"s.b"})", R"({"headers_only":true})",
                                           R"({"max_ack_pending":1})", R"({"max_deliver":1})", R"({"max_batch":1})");
  const bool keep_seal = GENERATE(true, false);
  CAPTURE(change, keep_seal);
  rig.fill(3);
  auto spec = rig.spec();
  spec.made_anew = true;
  spec.compare_every = std::chrono::milliseconds(0);
  auto in = rig.attach(rig.nc, spec, rig.a_level());
  CHECK(rig.taken(*in, 3, 3) == range(1, 3));
  SECTION("while it is being read") { edit(rig, change, keep_seal); }
  SECTION("between two owners") {
    in.reset();
    edit(rig, change, keep_seal);
    in = rig.attach(rig.nc, spec, rig.a_level());
  }
  rig.fill(4);
  CHECK(rig.taken(*in, 4, 4) == range(4, 7));
  CHECK(rig.logged("consumer d on stream S was edited by another program"));
}

TEST_CASE("X22: an edit is told before anything more is read, and whether what came since is in doubt") {
  consumer_rig rig;
  std::vector<bool> told;
  auto spec = rig.spec();
  spec.made_anew = true;
  spec.compare_every = std::chrono::milliseconds(0);
  spec.edited = [&](bool suspect) -> task<result<void>> {
    told.push_back(suspect);
    co_return result<void>{};
  };
  rig.fill(3, false);
  auto in = rig.attach(rig.nc, spec, rig.a_level(), [] { return 1; });
  CHECK(rig.taken(*in, 3, 3) == range(1, 3));
  CHECK(told.empty());
  SECTION("an owner knows nothing of what was before it") {
    in.reset();
    edit(rig, R"({"filter_subject":"s.b"})", true);
    in = rig.attach(rig.nc, spec, rig.a_level(), [] { return 1; });
    CHECK(rig.taken(*in, 3, 3) == range(1, 3));
    CHECK(told == std::vector<bool>{true});
  }
  SECTION("the edit was taken back, and our seal is gone") {
    edit(rig, R"({"filter_subject":"s.b"})", false);
    edit(rig, R"({"filter_subject":""})", false);
    CHECK(rig.taken(*in, 3, 3) == range(1, 3));
    CHECK(told.size() == 1);
  }
  SECTION("its own earlier spec is no edit") {
    in.reset();
    spec.filters = {"s.a"};
    in = rig.attach(rig.nc, spec, rig.a_level(), [] { return 1; });
    CHECK(rig.taken(*in, 3, 3) == range(1, 3));
    CHECK(told.empty());
  }
}

TEST_CASE("X6: who is not told whether it is still his asks again, and not at once") {
  consumer_rig rig;
  rig.fill(3);
  int asked = 0;
  bool known = false;
  auto spec = rig.spec();
  spec.still_ours = [&]() -> task<result<void>> {
    ++asked;
    if (!known) co_return fail(errc::unreachable, "no room for a renewal");
    co_return result<void>{};
  };
  auto in = rig.attach(rig.nc, std::move(spec), rig.api_level());
  rig.restart_server();
  std::optional<result<words>> got;
  asio::co_spawn(rig.io, take(*in, 3), [&](std::exception_ptr, result<words> r) { got = std::move(r); });
  REQUIRE(rig.waits_for([&] { return asked > 1; }));
  CHECK_FALSE(rig.waits_for([&] { return asked > 20 || got.has_value(); }, 1s));
  known = true;
  REQUIRE(rig.waits_for([&] { return got.has_value(); }));
  CHECK(got->has_value());
}

TEST_CASE("a work queue's consumer that is just going is waited for") {
  consumer_rig rig;
  rig.fill(3);
  rig.api("CONSUMER.DURABLE.CREATE.S.former",
          R"({"stream_name":"S","config":{"durable_name":"former","ack_policy":"explicit"}})");
  nats::pull_consumer in(rig.nc, rig.spec(), rig.counters, rig.api_level());
  std::optional<result<void>> attached;
  asio::co_spawn(rig.io, in.attach(), [&](std::exception_ptr, result<void> r) { attached = r; });
  rig.waits_for([&] { return attached.has_value(); }, 300ms);
  REQUIRE_FALSE(attached.has_value());
  rig.api("CONSUMER.DELETE.S.former");
  REQUIRE(rig.waits_for([&] { return attached.has_value(); }));
  REQUIRE(attached->has_value());
  CHECK(rig.taken(in, 3) == range(1, 3));
}

TEST_CASE("closing ends a next() that waits, also while the server is away") {
  consumer_rig rig;
  rig.fill(1);
  auto in = rig.attach(rig.nc, rig.spec(), rig.api_level());
  CHECK(rig.taken(*in, 1, 1) == range(1, 1));
  if (GENERATE(false, true)) {
    rig.server.kill_9();
    REQUIRE(rig.waits_for([&] { return !rig.nc.up(); }));
  }
  std::optional<result<words>> waiting;
  asio::co_spawn(rig.io, take(*in, 1), [&](std::exception_ptr, result<words> r) { waiting = std::move(r); });
  settle_down(rig.io);
  in->close();
  REQUIRE(rig.waits_for([&] { return waiting.has_value(); }));
  CHECK(waiting->error().code == errc::closed);
}

TEST_CASE("a delivery's reply subject tells its place, with and without a domain") {
  const auto plain = nats::parse_delivery("$JS.ACK.ingest.kv.2.1234.567.1700000000000000000.89");
  REQUIRE(plain);
  CHECK(plain->deliveries == 2);
  CHECK(plain->stream_seq == 1234);
  CHECK(plain->consumer_seq == 567);
  CHECK(plain->time_ns == 1700000000000000000);
  CHECK(plain->pending == 89);
  const auto domain = nats::parse_delivery("$JS.ACK.hub.ACCHASH.ingest.kv.1.2.3.4.5.random");
  REQUIRE(domain);
  CHECK(domain->stream_seq == 2);
  CHECK(domain->consumer_seq == 3);
  const auto without_random = nats::parse_delivery("$JS.ACK.hub.ACCHASH.ingest.kv.1.2.3.4.5");
  REQUIRE(without_random);
  CHECK(without_random->stream_seq == 2);
  CHECK(without_random->pending == 5);
  for (const auto* bad : {"", "$JS.ACK.a.b.1.2.3.4", "$JS.API.a.b.1.2.3.4.5", "$JS.ACK.a.b.x.2.3.4.5"})
    CHECK_FALSE(nats::parse_delivery(bad));
}
