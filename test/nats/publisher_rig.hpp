// What the tests of the publisher share: one that runs, and a stream's side that answers as a test likes.
#pragma once

#include "../support/nats_process.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/nats/publisher.hpp"

#include <algorithm>

namespace recordkv::test {

struct put_item {
  std::string subject, data;
};

inline task<result<void>> put_all(nats::outbox& out, std::vector<put_item> items) {
  for (auto& i : items)
    if (auto done = co_await out.put(std::move(i.subject), {}, std::move(i.data)); !done) co_return done.error();
  co_return result<void>{};
}

/// "0", "1", … under keys that take turns.
inline std::vector<put_item> counted(std::string prefix, int n, int keys, int from = 0) {
  std::vector<put_item> out;
  for (int i = from; i < from + n; ++i) out.push_back({fmt::format("{}.{}", prefix, i % keys), std::to_string(i)});
  return out;
}

/// What came last of each, in order: what is sent again counts where it came again.
inline words last_occurrences(const words& all) {
  words out;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (std::find(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end(), all[i]) == all.end())
      out.push_back(all[i]);
  return out;
}
inline words count_to(int n, int from = 0) {
  words out;
  for (int i = from; i < n; ++i) out.push_back(std::to_string(i));
  return out;
}

struct publisher_rig : nats_rig {
  ~publisher_rig() {
    if (!out) return;
    out->close();
    if (std::uncaught_exceptions() == 0) waits_for([this] { return children.empty(); });
  }
  void open(nats::publisher_spec spec) {
    const auto now = info(spec.stream);
    out = std::make_unique<nats::publisher>(nc, std::move(spec), counters);
    out->attach(now);
    out->start(children);
  }
  void put(std::vector<put_item> items) {
    const auto done = run(put_all(*out, std::move(items)));
    if (!done) FAIL(done.error().text);
  }
  void put_in_background(std::vector<put_item> items) {
    asio::co_spawn(io, put_all(*out, std::move(items)), [](std::exception_ptr, result<void>) {});
  }
  bool all_durable(nats::ordinal n) {
    const bool yes = waits_for([this, n] { return out->floor() >= n; });
    if (!yes) UNSCOPED_INFO("floor " << out->floor() << ", log:\n" << fmt::format("{}", fmt::join(log.lines, "\n")));
    return yes;
  }
  auto refused(std::string_view why) const { return counters.value("errors", why); }

  nursery children{io.get_executor()};
  std::unique_ptr<nats::publisher> out;
};

/// Sees what is published under a subject that no stream has, and answers in its place.
struct scripted_stream {
  scripted_stream(nats_rig& r, const std::string& subject) : rig(r), nc(r.connect()) {
    in = *nc->subscribe(subject);
    if (!r.run(nc->flush())) FAIL("no echo");
  }
  struct seen {
    std::string attempt, ordinal, data, reply;
  };
  bool has(std::size_t n) {
    return rig.waits_for([this, n] {
      for (auto& m : in.take()) {
        const std::string reply(m.reply());
        const auto last = reply.rfind('.'), before = reply.rfind('.', last - 1);
        all.push_back(
            {reply.substr(before + 1, last - before - 1), reply.substr(last + 1), std::string(m.data()), reply});
      }
      return all.size() >= n;
    });
  }
  words data() const {
    words out;
    for (const auto& s : all) out.push_back(s.data);
    return out;
  }
  /// Returns once the publisher's connection has been handed the answer.
  void ack(const seen& s) { answer(s, R"({"stream":"S","seq":0})"); }
  void refuse(const seen& s) {
    answer(s,
           R"({"stream":"S","seq":0,"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}})");
  }
  void answer(const seen& s, std::string_view text) {
    if (!nc->publish(s.reply, "", {}, text) || !rig.run(nc->flush()) || !rig.run(rig.nc.flush())) FAIL("not answered");
  }

  nats_rig& rig;
  std::unique_ptr<nats::connection> nc;
  nats::subscription in;
  std::vector<seen> all;
};

}  // namespace recordkv::test
