// Rules X4 and X5: where reading begins, and which process may move that place.
#include "cursor.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/lease.hpp"
#include "recordkv/kv/source_gaps.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;
using stages::cursor;

namespace {

const std::string source = "firehose.relay/2Eexample";
const stages::source_key of_relay{"firehose", source, "wss://relay.example"};

struct cursor_rig : nats_rig {
  cursor_rig() { REQUIRE(run(here.open(1)).has_value()); }
  kv::entry key() {
    auto e = run(raw.get(source));
    if (!e) FAIL(e.error().text);
    return *e;
  }
  /// As process `writer` would write it.
  void write_as(const std::string& writer, const std::string& value, std::string epoch = "0") {
    kv::write w{.key = source, .value = value};
    const auto now = run(raw.get(source));
    if (now) w.expected = now->seq;
    w.headers = {
        {"writer", writer}, {"epoch", std::move(epoch)}, {"server_id", "server"}, {"url", "wss://relay.example"}};
    if (auto done = run(raw.update(std::move(w))); !done) FAIL(done.error().text);
  }
  result<void> write(source_position value) { return run(here.write(value, "server")); }
  void reread() { REQUIRE(run(here.read()).has_value()); }

  cursor here{nc, "record", of_relay};
  kv::bucket raw{nc, "cursor"};
};

cursor::buffered frame(std::uint64_t seq, std::uint64_t epoch = 0, std::string of = source) {
  return {std::move(of), seq, epoch};
}

}  // namespace

TEST_CASE("X4: reading goes on behind the buffer's last frame only if nothing can have been lost in between") {
  cursor_rig rig;
  CHECK_FALSE(rig.here.value());
  CHECK_FALSE(rig.here.resume_at({}, "server"));
  CHECK_FALSE(rig.here.resume_at(frame(500), "server"));  // no cursor was written before it: not of this history
  REQUIRE(rig.write(100).has_value());
  cursor later(rig.nc, "record", of_relay);
  REQUIRE(rig.run(later.open(1)).has_value());
  CHECK(later.value() == 100);
  CHECK(later.resume_at(frame(500), "server") == source_position(500));
  CHECK(later.resume_at({}, "server") == source_position(100));
  CHECK(later.resume_at(frame(500), "restarted server") == source_position(100));
  CHECK(later.resume_at(frame(500, 1), "server") == source_position(100));
  CHECK(later.resume_at(frame(500, 0, "jetstream.other"), "server") == source_position(100));
  CHECK(later.resume_at(frame(500), "") == source_position(100));
}

TEST_CASE("X5: the cursor carries its writer, epoch and server") {
  cursor_rig rig;
  REQUIRE(rig.write(7).has_value());
  const auto e = rig.key();
  CHECK(e.value == "7");
  CHECK(e.header_value("writer") == kv::process_identity::self().id);
  CHECK(e.header_value("epoch") == "0");
  CHECK(e.header_value("server_id") == "server");
  rig.here.begin_epoch();
  CHECK_FALSE(rig.here.value());
  CHECK_FALSE(rig.here.resume_at(frame(500, 1), "server"));
  REQUIRE(rig.write(3).has_value());
  CHECK(rig.key().header_value("epoch") == "1");
  cursor later(rig.nc, "record", of_relay);
  REQUIRE(rig.run(later.open(1)).has_value());
  CHECK(later.epoch() == 1);
  CHECK(later.resume_at(frame(500, 0), "server") == source_position(3));
  CHECK(later.resume_at(frame(500, 1), "server") == source_position(500));
}

TEST_CASE("X5: another process's write makes this one step down") {
  cursor_rig rig;
  REQUIRE(rig.write(7).has_value());
  rig.write_as("another", "9");
  const auto refused = rig.write(8);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == errc::lease_lost);
  CHECK(rig.key().value == "9");
}

TEST_CASE("X5: a write of our own whose answer was lost is no conflict") {
  cursor_rig rig;
  REQUIRE(rig.write(7).has_value());
  rig.write_as(kv::process_identity::self().id, "8");
  REQUIRE(rig.write(9).has_value());
  CHECK(rig.key().value == "9");
  REQUIRE(rig.write(10).has_value());
  CHECK(rig.here.value() == 10);
}

TEST_CASE("X5: who has read the other's cursor may go on from it") {
  cursor_rig rig;
  rig.write_as("another", "9", "4");
  rig.reread();
  CHECK(rig.here.value() == 9);
  CHECK(rig.here.epoch() == 4);
  CHECK(rig.write(12).has_value());
}

TEST_CASE("a cursor that a person deleted is none; one that is no number is refused with the remedy") {
  cursor_rig rig;
  REQUIRE(rig.write(7).has_value());
  kv::write w{.key = source, .expected = rig.key().seq};
  w.headers.push_back({"KV-Operation", "DEL"});
  REQUIRE(rig.run(rig.raw.update(std::move(w))).has_value());
  rig.reread();
  CHECK_FALSE(rig.here.value());
  CHECK(rig.write(1).has_value());
  rig.write_as("a person", "seven");
  const auto refused = rig.run(rig.here.read());
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == errc::mismatch);
  CHECK(refused.error().text.find("nats kv del cursor " + source) != std::string::npos);
}

TEST_CASE("X4: what stands last in the buffer tells its source, number and epoch") {
  cursor_rig rig;
  rig.stream("ingest", R"({"subjects":["ingest.*"],"retention":"workqueue","allow_direct":true})");
  const auto none = rig.run(stages::last_buffered(rig.nc, "record"));
  REQUIRE(none.has_value());
  CHECK_FALSE(none->has_value());
  rig.publish("ingest.3", "frame", {{"source", source}, {"seq", "41"}, {"epoch", "2"}});
  rig.publish("ingest.a", "frame", {{"source", source}, {"seq", "42"}, {"epoch", "2"}});
  const auto last = rig.run(stages::last_buffered(rig.nc, "record"));
  REQUIRE(last.has_value());
  REQUIRE(last->has_value());
  CHECK((*last)->source == source);
  CHECK((*last)->seq == 42);
  CHECK((*last)->epoch == 2);
}

TEST_CASE("X5: within an epoch the cursor never moves back, and its time goes with it") {
  cursor_rig rig;
  REQUIRE(rig.write({100, 1'750'000'000.5}).has_value());
  CHECK(rig.key().header_value("time") == "2025-06-15T15:06:40.500000Z");
  REQUIRE(rig.write({40, 1'750'000'001}).has_value());
  CHECK(rig.key().value == "100");
  rig.here.begin_epoch();
  REQUIRE(rig.write(40).has_value());
  CHECK(rig.key().value == "40");
  CHECK(rig.key().header_value("time").empty());
}

TEST_CASE("X5: a cursor from the future is replaced by the time beside it, or by the oldest") {
  nats_rig rig;
  const stages::source_key jetstream{"jetstream", "jetstream.h", "wss://h"};
  cursor here(rig.nc, "record", jetstream);
  REQUIRE(rig.run(here.open(1)).has_value());
  kv::bucket raw(rig.nc, "cursor");
  kv::write w{.key = "jetstream.h", .value = "4102444800000000"};
  const bool timed = GENERATE(false, true);
  if (timed) w.headers.push_back({"time", "2025-06-15T15:06:40Z"});
  REQUIRE(rig.run(raw.update(std::move(w))).has_value());
  REQUIRE(rig.run(here.read()).has_value());
  CHECK(here.value() == (timed ? 1'750'000'000'000'000u : 0u));
}

TEST_CASE("one source has one cursor, and that of an earlier version is taken over") {
  const auto key = [](std::string url, std::string kind = "firehose") {
    config c;
    c.source.kind = std::move(kind);
    c.source.url = std::move(url);
    return stages::key_of_source(c).name;
  };
  for (const char* same :
       {"wss://h.example", "wss://H.example", "wss://h.example:443/", "wss://h.example.:0443",
        "wss://h.example/xrpc/com.atproto.sync.subscribeRepos", "ws://h.example", "ws://h.example:80"})
    CHECK(key(same) == "firehose.h/2Eexample");
  CHECK(key("wss://h/a") != key("wss://h/b"));
  CHECK(key("wss://h/a") != key("wss://h/A"));
  CHECK(key("wss://h:80") != key("wss://h"));
  CHECK(key("wss://h/2Eexample") != key("wss://h.example"));
  CHECK(key("wss://h/subscribe", "jetstream") == "jetstream.h");
  CHECK(key("ws://[::1]:9") == "firehose./5B/3A/3A1/5D/3A9");

  nats_rig rig;
  const std::string old = GENERATE("firehose.RELAY/2Eexample", "firehose.relay/2Eexample/3A443");
  kv::bucket raw(rig.nc, "cursor");
  REQUIRE(rig.run(raw.open()).has_value());
  REQUIRE(rig.run(raw.update({.key = old, .value = "77"})).has_value());
  cursor here(rig.nc, "record", of_relay);
  REQUIRE(rig.run(here.open(1)).has_value());
  CHECK(here.value() == 77);
  REQUIRE(rig.run(here.take_over([] { return true; })).has_value());
  CHECK(rig.run(raw.get(source))->value == "77");
  CHECK(rig.run(raw.get(old))->deleted);
}

TEST_CASE("a gap stays until its key is deleted, is replaced by what is learnt later, and their number is bounded") {
  nats_rig rig;
  kv::bucket raw(rig.nc, "cursor");
  REQUIRE(rig.run(raw.open()).has_value());
  kv::source_gaps here(rig.nc, "record", source), later(rig.nc, "record", source);
  const auto note = [&](source_gap g) { REQUIRE(rig.run(here.note(g)).has_value()); };
  note({.cause = gap_cause::outdated_cursor, .from = {5, 1000}});
  note({.cause = gap_cause::outdated_cursor, .from = {5, 1000}, .to = {9, 5000}});
  REQUIRE(rig.run(later.read()).has_value());
  REQUIRE(later.all().size() == 1);
  CHECK(later.all()[0].seconds() == 4000);
  note({.from = {5, 1000}, .none = true});
  CHECK(here.all().empty());
  for (std::uint64_t i = 1; i <= 20; ++i)
    note({.from = {i, 1000.0 * static_cast<double>(i)}, .to = {i + 1, 1000.0 * static_cast<double>(i) + 500}});
  CHECK(here.all().size() == kv::source_gaps::max_kept);
  CHECK(here.all().front().from == "1970-01-01T00:16:40.000000Z");
  REQUIRE(rig.run(later.read()).has_value());
  kv::write gone{.key = here.key(), .expected = rig.run(raw.get(here.key()))->seq};
  gone.headers.push_back({"KV-Operation", "DEL"});
  REQUIRE(rig.run(raw.update(std::move(gone))).has_value());
  REQUIRE(rig.run(here.read()).has_value());
  CHECK(here.all().empty());
}
