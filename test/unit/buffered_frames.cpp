// What stands in a message of the buffer: its batch of frames, and its header.
#include "recordkv/kv/frame_batch.hpp"
#include "recordkv/kv/frame_origin.hpp"

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <random>

using namespace recordkv;
using kv::batched_frame;
using kv::frame_origin;

namespace {

std::string batch_of(const std::vector<std::string>& frames) {
  std::string out;
  std::uint64_t seq = 1'000'000'000'000;
  for (const auto& f : frames) kv::append_frame(out, {.seq = ++seq, .bytes = f});
  return out;
}

std::vector<std::string> frames_of(std::string_view payload) {
  const auto read = kv::frames_in(payload);
  if (!read) FAIL(read.error().text);
  std::vector<std::string> out;
  for (const auto& f : *read) out.emplace_back(f.bytes);
  return out;
}

frame_origin origin_in(std::map<std::string, std::string, std::less<>> headers) {
  return kv::read_origin([&](const char* name) {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view{} : std::string_view(found->second);
  });
}

}  // namespace

TEST_CASE("a batch gives back its frames, in order, with their numbers") {
  const std::vector<std::string> frames{"a", std::string(70'000, 'b'), std::string("\0\1{", 3)};
  const auto payload = batch_of(frames);
  CHECK(kv::is_batch(payload));
  CHECK(frames_of(payload) == frames);
  CHECK(kv::frames_in(payload)->back().seq == 1'000'000'000'003);
  std::size_t bytes = kv::empty_batch_bytes;
  for (const auto& f : frames) bytes += kv::batched_frame_overhead + f.size();
  CHECK(payload.size() == bytes);
}

TEST_CASE("frames and JSON are no batches, and each is a frame alone") {
  for (const std::string payload : {"", "{", "\xA2", "\xBF", "x"}) {
    CHECK_FALSE(kv::is_batch(payload));
    CHECK(frames_of(payload) == std::vector{payload});
    CHECK(kv::frames_in(payload)->front().seq == 0);
  }
}

TEST_CASE("a batch that was cut anywhere is refused, except between two frames") {
  const auto whole = batch_of({"first", "second"});
  const auto first = batch_of({"first"}).size();
  for (std::size_t n = 1; n < whole.size(); ++n) {
    const auto read = kv::frames_in(std::string_view(whole).substr(0, n));
    INFO(n);
    CHECK(read.has_value() == (n == first));
    if (!read) CHECK(read.error().code == errc::malformed);
  }
}

TEST_CASE("a batch with a length that does not fit is refused") {
  for (const char changed : {'\0', '\4', '\6', '\xFF'}) {
    auto payload = batch_of({"first"});
    payload[1] = changed;
    CHECK(kv::frames_in(payload).has_error());
  }
  auto long_frame = batch_of({"first"});
  long_frame[4] = '\x80';  // the highest byte of the length
  CHECK(kv::frames_in(long_frame).has_error());
}

TEST_CASE("a batch holds a bounded number of frames") {
  std::vector<std::string> frames(kv::max_batch_frames, "x");
  CHECK(frames_of(batch_of(frames)).size() == kv::max_batch_frames);
  frames.emplace_back("x");
  CHECK(kv::frames_in(batch_of(frames)).has_error());
}

TEST_CASE("random bytes behind the first one are read or refused, and never read beyond their end") {
  std::minstd_rand random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string payload(1, '\1');
    for (auto left = random() % 40; left > 0; --left) payload += static_cast<char>(random() % 3 == 0 ? random() : 0);
    const auto exact = std::make_unique<std::string>(payload);  // the sanitizer knows its end
    const auto read = kv::frames_in(*exact);
    std::size_t bytes = kv::empty_batch_bytes;
    if (read)
      for (const auto& f : *read) bytes += kv::batched_frame_overhead + f.bytes.size();
    if (read) CHECK(bytes == payload.size());
  }
}

TEST_CASE("a header tells source, epoch, number and lateness") {
  for (const bool late : {false, true}) {
    const frame_origin o{
        .source = "firehose.relay/2Eexample", .epoch = "2", .seq = 1'725'000'000'000'001, .late = late};
    CHECK(kv::text_of(o) == std::string("firehose.relay/2Eexample 2 1725000000000001") + (late ? " late" : ""));
    CHECK(origin_in({{"from", kv::text_of(o)}}) == o);
  }
}

TEST_CASE("the four headers of before are read, too") {
  CHECK(origin_in({{"source", "jetstream.h"}, {"epoch", "3"}, {"seq", "41"}, {"late", "1"}}) ==
        frame_origin{.source = "jetstream.h", .epoch = "3", .seq = 41, .late = true});
  CHECK(origin_in({{"source", "jetstream.h"}, {"seq", "41x"}}).seq == 0);
}

TEST_CASE("a header that can't be read tells nothing") {
  for (const char* text : {"", " ", "jetstream.h", "jetstream.h 0", "jetstream.h 0 x", " 0 7", "jetstream.h 0 -1"})
    CHECK(origin_in({{"from", text}}) == frame_origin{});
}
