// The bare limit beside which ./dev bench measures recordkv: the same NATS traffic with nothing else done.
//
// Owns: publish -> work queue -> consume and publish -> one-per-subject stream -> consume, over one connection.
// Does not know: records. Usage: bench-bare-pipe NATS_URL EVENTS BYTES; prints events a second.
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <boost/asio/co_spawn.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>

using namespace recordkv;

namespace {

struct pipe_under_test {
  nats::connection& nc;
  meters counters;
  std::uint64_t events;
  std::string body;
  nats::publisher in{nc, {.name = "in", .stream = "bare_in"}, counters};
  nats::publisher out{nc, {.name = "out", .stream = "bare_out"}, counters};
};

[[noreturn]] void give_up(const error& e) {
  fmt::print(stderr, "bench: {}\n", e.text);
  std::exit(1);
}

task<nats::stream_state> make_stream(nats::connection& nc, nats::stream_spec spec) {
  auto made = co_await nats::ensure(nc, std::move(spec));
  if (!made) give_up(made.error());
  co_return made->state;
}

task<> produce(pipe_under_test& p) {
  for (std::uint64_t i = 0; i < p.events; ++i) {
    auto put = co_await p.in.put("bare_in.1", {}, p.body);
    if (!put) give_up(put.error());
  }
}

task<> relay(pipe_under_test& p, int api_level) {
  nats::consumer_spec spec{.stream = "bare_in", .durable = "relay", .policy = nats::acks::each, .credit = 2048};
  nats::pull_consumer from(p.nc, std::move(spec), p.counters, api_level);
  if (auto attached = co_await from.attach(); !attached) give_up(attached.error());
  for (std::uint64_t done = 0; done < p.events;) {
    auto batch = co_await from.next();
    if (!batch) give_up(batch.error());
    for (const auto& m : *batch) {
      auto put = co_await p.out.put(fmt::format("bare_out.{}", done++), {}, std::string(m.data()));
      if (!put) give_up(put.error());
      from.settle(m);
    }
  }
}

task<> fold(pipe_under_test& p, int api_level) {
  nats::consumer_spec spec{.stream = "bare_out", .durable = "fold", .policy = nats::acks::all, .credit = 8192};
  nats::pull_consumer from(p.nc, std::move(spec), p.counters, api_level);
  if (auto attached = co_await from.attach(); !attached) give_up(attached.error());
  for (std::uint64_t done = 0; done < p.events;) {
    auto batch = co_await from.next();
    if (!batch) give_up(batch.error());
    done += batch->size();
    from.settle(batch->back());
  }
}

task<> measure(pipe_under_test& p) {
  auto facts = co_await nats::jetstream_facts(p.nc);
  if (!facts) give_up(facts.error());
  nats::stream_spec in{.name = "bare_in", .work_queue = true};
  in.subjects.push_back("bare_in.*");
  nats::stream_spec out{.name = "bare_out", .max_msgs_per_subject = 1};
  out.subjects.push_back("bare_out.*");
  p.in.attach(co_await make_stream(p.nc, std::move(in)));
  p.out.attach(co_await make_stream(p.nc, std::move(out)));
  nursery all(co_await asio::this_coro::executor), watches(co_await asio::this_coro::executor);
  p.in.start(watches);
  p.out.start(watches);
  const auto began = std::chrono::steady_clock::now();
  all.spawn(produce(p));
  all.spawn(relay(p, facts->api_level));
  all.spawn(fold(p, facts->api_level));
  co_await all.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("{:.0f}\n", static_cast<double>(p.events) / took.count());
  p.in.close();
  p.out.close();
  co_await watches.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: bench-bare-pipe NATS_URL EVENTS BYTES\n");
    return 2;
  }
  log::set_level(log::level::warn);
  asio::io_context io(1);
  nats::connection nc(io);
  if (auto started = nc.start({.url = argv[1]}); !started) give_up(started.error());
  pipe_under_test p{.nc = nc,
                    .counters = {},
                    .events = std::strtoull(argv[2], nullptr, 10),
                    .body = std::string(std::strtoul(argv[3], nullptr, 10), 'x')};
  asio::co_spawn(io, measure(p), [&io](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
    io.stop();
  });
  io.run();
}
