// The connection on a real server: requests, subscriptions, and what a disconnect does and does not do.
#include "../support/nats_process.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <boost/asio/steady_timer.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <filesystem>
#include <thread>

using namespace recordkv;
using namespace recordkv::test;

namespace {

std::vector<nats::request_spec> numbered(std::string subject, int n) {
  std::vector<nats::request_spec> out;
  for (int i = 0; i < n; ++i) out.push_back({.subject = subject, .data = std::to_string(i)});
  return out;
}

/// Waits for `n` messages, then answers them from the last to the first, but not those whose data is `silent_on`.
task<result<void>> answer_backwards(nats::connection& nc, nats::subscription asked, std::size_t n,
                                    std::string silent_on) {
  std::vector<nats::message> held;
  while (held.size() < n) {
    for (auto& m : asked.take()) held.push_back(std::move(m));
    if (held.size() < n) co_await asked.arrived().wait();
  }
  for (auto m = held.rbegin(); m != held.rend(); ++m)
    if (m->data() != silent_on)
      if (auto sent = nc.publish(std::string(m->reply()), "", {}, "answer " + std::string(m->data())); !sent)
        co_return sent;
  co_return result<void>{};
}

task<result<void>> count(nats::pull_consumer& in, std::size_t& delivered, std::size_t until) {
  while (delivered < until) {
    auto batch = co_await in.next();
    if (!batch) co_return batch.error();
    delivered += batch->size();
  }
  co_return result<void>{};
}

task<result<void>> up_again(nats::connection& nc) {
  co_await nc.wait_up();
  co_return result<void>{};
}

/// The longest time between two turns of a 5 ms ticker, until told to stop. Each turn touches the connection as stages
/// do.
struct ticker {
  bool stop = false;
  std::chrono::steady_clock::duration longest{};
};
task<result<void>> tick(nats::connection& nc, ticker& t) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  auto last = std::chrono::steady_clock::now();
  while (!t.stop) {
    timer.expires_after(5ms);
    co_await timer.async_wait(use_task);
    (void)nc.publish("ticks", "", {}, "tick");
    auto gone = nc.subscribe("short.lived");
    (void)nc.server_id();
    (void)nc.max_payload();
    const auto now = std::chrono::steady_clock::now();
    t.longest = std::max(t.longest, now - last);
    last = now;
  }
  co_return result<void>{};
}

}  // namespace

TEST_CASE("a request is answered, or timed out") {
  nats_rig rig;
  auto info = rig.run(rig.nc.request({.subject = "$JS.API.INFO"}));
  REQUIRE(info.has_value());
  CHECK(info->data().find("account_info_response") != std::string_view::npos);
  auto none = rig.run(rig.nc.request({.subject = "nobody.listens"}, 100ms));
  REQUIRE(none.has_error());
  CHECK(none.error().code == errc::timed_out);
  CHECK(none.error().text.find("nobody.listens") != std::string::npos);
}

TEST_CASE("no thread of nats.c preempts the loop, and the loop's own policy stays") {
  nats_rig rig;
  REQUIRE(rig.run(rig.nc.request({.subject = "$JS.API.INFO"})).has_value());
  const auto loop = static_cast<pid_t>(::syscall(SYS_gettid));
  std::size_t batch = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    const auto id = static_cast<pid_t>(std::stol(thread.path().filename().string()));
    if (id != loop && sched_getscheduler(id) == SCHED_BATCH) ++batch;
  }
  CHECK(batch >= 2);  // among them the thread that frees messages
  CHECK(sched_getscheduler(loop) == SCHED_OTHER);
}

TEST_CASE("many requests at once come back in the order asked, whatever order they were answered in") {
  nats_rig rig;
  auto other = rig.connect();
  auto asked = other->subscribe("echo");
  REQUIRE(asked.has_value());
  REQUIRE(rig.run(other->flush()).has_value());
  asio::co_spawn(rig.io, answer_backwards(*other, std::move(*asked), 100, "37"),
                 [](std::exception_ptr, result<void>) {});
  const auto answers = rig.run(rig.nc.request_all(numbered("echo", 100), 1s));
  REQUIRE(answers.size() == 100);
  for (int i = 0; i < 100; ++i) {
    if (i == 37) {
      CHECK(answers[37].error().code == errc::timed_out);
      continue;
    }
    REQUIRE(answers[i].has_value());
    CHECK(answers[i]->data() == fmt::format("answer {}", i));
  }
}

TEST_CASE("a message that a consumer delivers is never taken for an answer, whatever its subject") {
  nats_rig rig;
  rig.stream("S", R"({"subjects":["s.>"],"allow_direct":true})");
  const auto prefix = "s." + std::string(rig.nc.inbox().size() - 2, 'x') + ".r";  // as long as "<inbox>.r"
  for (int id = 1; id <= 2000; ++id) REQUIRE(rig.nc.publish(prefix + std::to_string(id), "", {}, "delivered"));
  REQUIRE(rig.waits_for([&] { return rig.info("S").messages == 2000; }));
  nats::pull_consumer in(rig.nc, {.stream = "S", .policy = nats::acks::none, .credit = 4096}, rig.counters,
                         rig.api_level());
  REQUIRE(rig.run(in.attach()).has_value());
  std::size_t delivered = 0;
  asio::co_spawn(rig.io, count(in, delivered, 2000), [](std::exception_ptr, result<void>) {});
  for (const auto& answer : rig.run(rig.nc.request_all(numbered("nobody.listens", 50), 500ms)))
    CHECK((answer.has_error() && answer.error().code == errc::timed_out));
  CHECK(rig.waits_for([&] { return delivered == 2000; }));
}

TEST_CASE("flush returns once the server has handled what was published before") {
  nats_rig rig;
  REQUIRE(rig.run(rig.nc.flush()).has_value());
  rig.server.pause();
  const auto silent = rig.run(rig.nc.flush(200ms));
  rig.server.resume();
  REQUIRE(silent.has_error());
  CHECK(silent.error().code == errc::timed_out);
  CHECK(rig.run(rig.nc.flush()).has_value());
}

TEST_CASE("after a kill -9 it reconnects by itself, subscriptions survive, and it says which server it is") {
  nats_rig rig;
  auto kept = rig.nc.subscribe("news.*");
  auto dropped = rig.nc.subscribe("old.*");
  REQUIRE(kept.has_value());
  const auto first_server = rig.nc.server_id();
  CHECK(rig.nc.connects() == 1);
  rig.server.kill_9();
  REQUIRE(rig.waits_for([&] { return !rig.nc.up() && rig.nc.server_id().empty(); }));
  CHECK(rig.nc.publish("news.a", "", {}, "lost").error().code == errc::unreachable);
  CHECK(rig.nc.subscribe("news.b").error().code == errc::unreachable);
  CHECK(rig.run(rig.nc.flush()).error().code == errc::unreachable);
  CHECK_FALSE(rig.nc.last_error().empty());
  CHECK(rig.run(rig.nc.request({.subject = "$JS.API.INFO"}, 50ms)).error().code == errc::unreachable);
  {
    const auto gone = std::move(*dropped);
  }  // while down it must not enter nats.c

  rig.server.start();
  REQUIRE(rig.run(rig.nc.request({.subject = "$JS.API.INFO"}, 15s)).has_value());  // waits for the connection
  CHECK(rig.nc.connects() == 2);
  CHECK(rig.nc.server_id() != first_server);
  CHECK(rig.nc.last_error().empty());
  REQUIRE(rig.nc.publish("news.c", "", {}, "fresh").has_value());
  std::vector<nats::message> got;
  REQUIRE(rig.waits_for([&] {
    for (auto& m : kept->take()) got.push_back(std::move(m));
    return !got.empty();
  }));
  CHECK(got[0].subject() == "news.c");
  CHECK(got[0].data() == "fresh");
}

TEST_CASE("X7: what is perishable and was not written before the process was stopped is not written when it wakes") {
  nats_rig rig;
  auto other = rig.connect();
  auto heard = other->subscribe("x");
  REQUIRE(heard.has_value());
  REQUIRE(rig.run(other->flush()).has_value());
  const bool perishable = GENERATE(true, false);
  REQUIRE(rig.nc.publish("x", "", {}, "before", perishable).has_value());
  std::this_thread::sleep_for(2100ms);  // the loop stands still, as under SIGSTOP
  if (perishable) REQUIRE(rig.waits_for([&] { return rig.nc.connects() == 2; }));
  REQUIRE(rig.run(rig.nc.flush()).has_value());
  REQUIRE(rig.nc.publish("x", "", {}, "after", perishable).has_value());
  REQUIRE(rig.run(rig.nc.flush()).has_value());
  words got;
  REQUIRE(rig.waits_for([&] {
    for (const auto& m : heard->take()) got.emplace_back(m.data());
    return !got.empty() && got.back() == "after";
  }));
  CHECK(got == (perishable ? words{"after"} : words{"before", "after"}));
  CHECK(rig.nc.connects() == (perishable ? 2 : 1));
}

TEST_CASE("while the server is away the loop does not freeze") {
  nats_rig rig;
  ticker t;
  asio::co_spawn(rig.io, tick(rig.nc, t), [](std::exception_ptr, result<void>) {});
  const auto port = rig.server.port();
  rig.server.kill_9();
  {
    // Something that accepts and never greets: an attempt to reconnect then takes nats.c its whole 2 s.
    silent_listener mute(port);
    const auto until = std::chrono::steady_clock::now() + 4500ms;
    rig.waits_for([&] { return std::chrono::steady_clock::now() > until; });
  }
  rig.server.start();
  rig.run(up_again(rig.nc));
  t.stop = true;
  settle_down(rig.io);
  INFO("longest gap: " << std::chrono::duration_cast<std::chrono::milliseconds>(t.longest).count() << " ms");
  CHECK(t.longest < 500ms);
  CHECK(rig.nc.connects() == 2);
}

TEST_CASE("a first connection that fails says why") {
  asio::io_context io(1);
  SECTION("nobody there") {
    std::uint16_t port = 0;
    {
      port = silent_listener().port();
    }
    nats::connection nc(io);
    const auto started = nc.start({.url = fmt::format("nats://127.0.0.1:{}", port)});
    REQUIRE(started.has_error());
    CHECK(started.error().code == errc::unreachable);
  }
  SECTION("wrong password") {
    nats_process server({"--user", "somebody", "--pass", "secret"});
    nats::connection nc(io);
    CHECK(nc.start({.url = server.url("somebody:wrong@")}).error().code == errc::unauthorized);
    CHECK(nc.start({.url = server.url("somebody:secret@")}).has_value());
  }
}

TEST_CASE("the largest payload is the server's") {
  nats_rig rig;
  CHECK(rig.nc.max_payload() == 1 << 20);
  const std::string more((1 << 20) + 1, 'x');
  CHECK(rig.nc.publish("a", "", {}, more).error().code == errc::too_large);
}
