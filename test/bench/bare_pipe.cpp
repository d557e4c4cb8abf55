// The bare limits beside which ./dev bench measures recordkv: NATS traffic with nothing else done, over one connection.
//
// Owns: three shapes of traffic. `frames`: publish -> work queue -> consume and publish -> stream with one message for
// each subject -> consume, one event a message, the same bytes throughout. `ours`: the same way with exactly the
// messages of recordkv: batches with their header, records with theirs, account states beside them. `records`: what no
// design can do without: each record published once with its headers, stored, and delivered once.
// Does not know: records. Usage: bench-bare-pipe NATS_URL EVENTS BYTES SHAPE LAST; prints the events a
// second of the last so many.
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

using namespace recordkv;

namespace {

using clock_type = std::chrono::steady_clock;

/// Sizes, states and accounts an event are those of a run of 300,000 of the simulator's Jetstream events.
struct shape {
  std::uint64_t frames_a_message = 1;
  std::size_t record_bytes = 0;  // 0: as large as the frame
  std::size_t state_bytes = 0;   // 0: there are no states
  std::uint64_t events_a_state = 1;
  bool buffered = true;  // through the work queue
  bool our_keys = true;  // else subjects are short
  nats::header_list frame_headers, record_headers;
};

shape shape_of(std::string_view name) {
  const nats::header_list record_headers = {{"cid", "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"},
                                            {"rev", "3lazxcvbnmq2s"},
                                            {"time", "2026-01-01T00:00:00.000Z"},
                                            {"op", "create"}};
  if (name == "ours")
    return {.frames_a_message = 16,
            .record_bytes = 250,
            .state_bytes = 300,
            .events_a_state = 2,
            .frame_headers = {{"from", "jetstream/127.0.0.1:4000 12 1767225600000000"}},
            .record_headers = record_headers};
  if (name == "records") return {.record_bytes = 250, .buffered = false, .record_headers = record_headers};
  return {.our_keys = false};
}

/// Of one account in four events, at random but the same in each run.
std::string account_of(std::uint64_t event) {
  const std::uint64_t mixed = (event + 1) * 0x9e3779b97f4a7c15;
  return fmt::format("{:x}.did/3Aplc/3Aabcdefghijkl{:012}", mixed >> 60, (mixed >> 20) % 75'000);
}

std::string record_subject(const shape& form, std::uint64_t event) {
  if (!form.our_keys) return fmt::format("bare_out.{}", event);
  const auto account = account_of(event);
  return fmt::format("bare_out.{}.app.bsky.feed.like{}.3laz{:09}", account.substr(0, 1), account.substr(1), event);
}

struct pipe_under_test {
  nats::connection& nc;
  meters counters;
  std::uint64_t events, last;
  std::string body;
  shape form;
  nats::publisher in{nc, {.name = "in", .stream = "bare_in"}, counters};
  nats::publisher out{nc, {.name = "out", .stream = "bare_out"}, counters};
  nats::publisher states{nc, {.name = "states", .stream = "bare_states"}, counters};

  std::string record() const { return form.record_bytes ? std::string(form.record_bytes, 'x') : body; }
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

task<> store(pipe_under_test& p, std::uint64_t event) {
  auto put = co_await p.out.put(record_subject(p.form, event), p.form.record_headers, p.record());
  if (!put) give_up(put.error());
  if (p.form.state_bytes == 0 || event % p.form.events_a_state != 0) co_return;
  put = co_await p.states.put("bare_states." + account_of(event), {}, std::string(p.form.state_bytes, 'x'));
  if (!put) give_up(put.error());
}

task<> produce(pipe_under_test& p) {
  for (std::uint64_t i = 0; i < p.events; i += p.form.frames_a_message) {
    if (!p.form.buffered) {
      co_await store(p, i);
      continue;
    }
    std::string message;
    for (std::uint64_t n = 0; n < std::min(p.form.frames_a_message, p.events - i); ++n) message += p.body;
    auto put = co_await p.in.put("bare_in.1", p.form.frame_headers, std::move(message));
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
      for (std::size_t n = 0; n < m.data().size() / p.body.size(); ++n) co_await store(p, done++);
      from.settle(m);
    }
  }
}

/// Returns when the last p.last events began.
task<clock_type::time_point> fold(pipe_under_test& p, int api_level) {
  nats::consumer_spec spec{.stream = "bare_out", .durable = "fold", .policy = nats::acks::all, .credit = 8192};
  nats::pull_consumer from(p.nc, std::move(spec), p.counters, api_level);
  if (auto attached = co_await from.attach(); !attached) give_up(attached.error());
  auto began = clock_type::now();
  for (std::uint64_t done = 0; done < p.events;) {
    if (done < p.events - p.last) began = clock_type::now();
    auto batch = co_await from.next();
    if (!batch) give_up(batch.error());
    done += batch->size();
    from.settle(batch->back());
  }
  co_return began;
}

task<> measure(pipe_under_test& p) {
  auto facts = co_await nats::jetstream_facts(p.nc);
  if (!facts) give_up(facts.error());
  nats::stream_spec in{.name = "bare_in", .work_queue = true};
  in.subjects.push_back("bare_in.*");
  nats::stream_spec out{.name = "bare_out", .max_msgs_per_subject = 1};
  out.subjects.push_back("bare_out.>");
  nats::stream_spec states{.name = "bare_states", .max_msgs_per_subject = 1};
  states.subjects.push_back("bare_states.>");
  p.in.attach(co_await make_stream(p.nc, std::move(in)));
  p.out.attach(co_await make_stream(p.nc, std::move(out)));
  p.states.attach(co_await make_stream(p.nc, std::move(states)));
  nursery all(co_await asio::this_coro::executor), watches(co_await asio::this_coro::executor);
  for (auto* publisher : {&p.in, &p.out, &p.states}) publisher->start(watches);
  all.spawn(produce(p));
  if (p.form.buffered) all.spawn(relay(p, facts->api_level));
  const auto began = co_await fold(p, facts->api_level);
  const std::chrono::duration<double> took = clock_type::now() - began;
  co_await all.join();
  fmt::print("{:.0f}\n", static_cast<double>(p.last) / took.count());
  for (auto* publisher : {&p.in, &p.out, &p.states}) publisher->close();
  co_await watches.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    fmt::print(stderr, "usage: bench-bare-pipe NATS_URL EVENTS BYTES frames|ours|records LAST\n");
    return 2;
  }
  log::set_level(log::level::warn);
  asio::io_context io(1);
  nats::connection nc(io);
  if (auto started = nc.start({.url = argv[1]}); !started) give_up(started.error());
  pipe_under_test p{.nc = nc,
                    .counters = {},
                    .events = std::strtoull(argv[2], nullptr, 10),
                    .last = std::strtoull(argv[5], nullptr, 10),
                    .body = std::string(std::strtoul(argv[3], nullptr, 10), 'x'),
                    .form = shape_of(argv[4])};
  asio::co_spawn(io, measure(p), [&io](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
    io.stop();
  });
  io.run();
}
