// Rules X4 and X5: where reading begins, and who may move that place.
#include "cursor.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/owner.hpp"

using namespace recordkv;
using namespace recordkv::test;
using stages::cursor;

namespace {

const std::string source = "firehose.relay/2Eexample";

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
    w.headers = {{"writer", writer}, {"epoch", std::move(epoch)}, {"server_id", "server"}};
    if (auto done = run(raw.update(std::move(w))); !done) FAIL(done.error().text);
  }
  result<void> write(std::uint64_t value) { return run(here.write(value, "server")); }
  void reread() { REQUIRE(run(here.read()).has_value()); }

  cursor here{nc, "record", source};
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
  cursor later(rig.nc, "record", source);
  REQUIRE(rig.run(later.open(1)).has_value());
  CHECK(later.value() == 100);
  CHECK(later.resume_at(frame(500), "server") == 500);
  CHECK(later.resume_at({}, "server") == 100);
  CHECK(later.resume_at(frame(500), "restarted server") == 100);
  CHECK(later.resume_at(frame(500, 1), "server") == 100);
  CHECK(later.resume_at(frame(500, 0, "jetstream.other"), "server") == 100);
  CHECK(later.resume_at(frame(500), "") == 100);
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
  cursor later(rig.nc, "record", source);
  REQUIRE(rig.run(later.open(1)).has_value());
  CHECK(later.epoch() == 1);
  CHECK(later.resume_at(frame(500, 0), "server") == 3);
  CHECK(later.resume_at(frame(500, 1), "server") == 500);
}

TEST_CASE("X5: another process's write makes this one step down") {
  cursor_rig rig;
  REQUIRE(rig.write(7).has_value());
  rig.write_as("another", "9");
  const auto refused = rig.write(8);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == errc::not_owner);
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
