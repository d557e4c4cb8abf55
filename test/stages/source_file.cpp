#include "source_rig.hpp"

#include "recordkv/firehose/source_kinds.hpp"

#include <unistd.h>
#include <catch2/generators/catch_generators.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace recordkv;
using namespace recordkv::test;
using firehose::make_file;

namespace {

constexpr auto alice = "did:plc:44ybard66vv44zksje25o7dz";
constexpr std::uint64_t t0 = 1'750'000'000'000'000;

std::string record(std::string_view message) {
  std::string out;
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(message.size() >> shift & 0xff);
  return out + std::string(message);
}

struct recording {
  explicit recording(std::string_view content) {
    char name[] = "/tmp/recordkv-source-XXXXXX";
    close(mkstemp(name));
    path = name;
    std::ofstream(path, std::ios::binary) << content;
  }
  ~recording() { std::filesystem::remove(path); }
  std::string path;
};

}  // namespace

TEST_CASE("file: frames and events to the end, without those we have") {
  source_rig rig;
  const recording file(record(wire::identity(1, alice)) + record(wire::identity(2, alice)) +
                       record(wire::identity(3, alice)) + record(wire::like(t0, alice)) + record(wire::unknown(5)) +
                       record(wire::info("OutdatedCursor")) + record(wire::error("ConsumerTooSlow")) +
                       record(wire::poison(alice)) + record(wire::identity(9, alice)));
  auto spec = rig.spec(file.path);
  spec.cursor = source_position(2);
  const auto source = make_file(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 100);
  REQUIRE(seqs(frames) == numbers{3, t0, 5, 0, 0, 9});
  CHECK(frames[3].what == notice::outdated_cursor);
  CHECK(frames[4].what == notice::unreadable);
  CHECK(frames[4].info.did == alice);
  const auto end = rig.next(*source);
  REQUIRE(end);
  CHECK(end->error().code == errc::closed);
  CHECK(source->last_error().empty());
  CHECK(rig.counters.value("source_frames") == 4);
  CHECK(rig.skipped("unreadable") == 1);
  CHECK(rig.skipped("unknown") == 1);
}

TEST_CASE("file: a file that is no recording is an error, after the part that could be read") {
  source_rig rig;
  const std::string good = record(wire::identity(1, alice));
  const std::string tail =
      GENERATE(std::string("\x40\0\0", 3), std::string("\x40\0\0\0abc", 7), std::string("\xff\xff\xff\x7f", 4));
  const recording file(good + tail);
  const auto source = make_file(rig.io.get_executor(), rig.spec(file.path), rig.counters);
  CHECK(rig.take(*source, 1).size() == 1);
  for (int i = 0; i < 2; ++i) {
    const auto end = rig.next(*source);
    REQUIRE(end);
    CHECK(end->error().code == errc::malformed);
    CHECK(end->error().text.find(fmt::format("{}: offset {}", file.path, good.size())) != std::string::npos);
  }
  CHECK(rig.logged(file.path));
  CHECK_FALSE(source->last_error().empty());
}

TEST_CASE("file: a missing file") {
  source_rig rig;
  const auto source = make_file(rig.io.get_executor(), rig.spec("/nowhere/frames.bin"), rig.counters);
  const auto got = rig.next(*source);
  REQUIRE(got);
  CHECK(got->error().code == errc::bad_config);
}

TEST_CASE("file: at a pace, and close does not wait for it") {
  source_rig rig;
  std::string content;
  for (std::uint64_t i = 1; i <= 1000; ++i) content += record(wire::identity(i, alice));
  const recording file(content);
  auto spec = rig.spec("file://" + file.path);
  spec.pace = 100;
  const auto source = make_file(rig.io.get_executor(), spec, rig.counters);
  const auto before = std::chrono::steady_clock::now();
  CHECK(rig.take(*source, 21).size() >= 21);
  CHECK(std::chrono::steady_clock::now() - before >= 190ms);
  std::optional<errc> ended;
  asio::co_spawn(rig.io, rig.collect(*source, 1000), [&](std::exception_ptr, std::vector<frame> f) {
    CHECK(f.size() < 900);
    ended = errc::closed;
  });
  rig.io.run_for(30ms);
  source->close();
  CHECK(comes_true(rig.io, [&] { return ended.has_value(); }, 1s));
}
