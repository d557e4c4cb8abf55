#include "stream_reading.hpp"

#include "recordkv/core/event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/parse_number.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <algorithm>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto max_absence = 10s;  // of NATS
constexpr auto between_looks = 200ms;

struct ending {
  bool over = false, given_up = false;
  event woken;
};

// next() waits for a connection without end.
task<> give_up_without_nats(nats::connection& nc, nats::pull_consumer& from, ending& e) {
  auto seen = steady_clock::now();
  while (!e.over) {
    if (nc.up()) seen = steady_clock::now();
    if (steady_clock::now() - seen > max_absence) {
      e.given_up = true;
      from.close();
      co_return;
    }
    co_await e.woken.wait_for(between_looks);
  }
}

// The first delivery says how many messages there are. Fewer is no proof of anything.
task<result<void>> take_all(nats::pull_consumer& from, const ending& e,
                            const std::function<void(const nats::message&)>& take) {
  std::uint64_t taken = 0, expected = from.pending();
  while (taken < expected || from.pending() > 0) {
    auto batch = co_await from.next();
    if (e.given_up) co_return fail(errc::unreachable, "the connection to NATS was lost");
    if (!batch && batch.error().code == errc::closed && taken >= expected) co_return result<void>{};
    if (!batch && batch.error().code == errc::closed)
      co_return fail(errc::timed_out, "only {} of {} messages came; try again", taken, expected);
    if (!batch) co_return batch.error();
    for (const auto& m : *batch) {
      const auto d = nats::parse_delivery(m.reply());
      // A new incarnation begins with the first message again.
      if (!d || d->consumer_seq != taken + 1)
        co_return fail(errc::timed_out, "reading {} was interrupted; try again", m.subject());
      if (++taken == 1) expected = d->pending + 1;
      take(m);
    }
  }
  co_return result<void>{};
}

}  // namespace

task<result<void>> read_matching(session s, std::string stream, std::string subject, message_parts what,
                                 std::function<void(const nats::message&)> take) {
  meters counters;
  nats::consumer_spec spec{.stream = stream,
                           .filters = {std::move(subject)},
                           .policy = nats::acks::none,
                           .headers_only = what == message_parts::headers,
                           .once = true,
                           .credit = 4096};
  nats::pull_consumer from(s.nc, std::move(spec), counters, s.facts.api_level);
  if (auto attached = co_await from.attach(); !attached) co_return attached.error();
  auto executor = co_await asio::this_coro::executor;
  nursery beside(executor);
  ending e;
  beside.spawn(give_up_without_nats(s.nc, from, e));
  auto read = co_await take_all(from, e, take);
  e.over = true;
  e.woken.notify();
  co_await beside.join();
  if (s.nc.up())  // otherwise the server removes it, minutes later
    (void)co_await nats::api(s.nc, fmt::format("CONSUMER.DELETE.{}.{}", stream, from.name()));
  co_return read;
}

std::size_t value_size(const nats::message& m) {
  const auto told = parse_number<std::size_t>(m.header_value("Nats-Msg-Size"));
  return std::max(told.value_or(0), m.data().size());
}

}  // namespace recordkv::cli
