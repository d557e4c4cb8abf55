// Which frames share a message of the buffer, and what each message vouches for (X4).
#include "frame_gatherer.hpp"

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <random>
#include <set>

using namespace recordkv;
using stages::frame_gatherer;

namespace {

frame_gatherer::piece piece_of(std::uint64_t seq, std::size_t bytes = 1) {
  return {.bytes = std::string(bytes, 'x'), .did = {}, .at = seq};
}

std::vector<std::uint64_t> numbers_of(const frame_gatherer::parcel& p) {
  std::vector<std::uint64_t> out;
  for (const auto& f : p.frames) out.push_back(f.at.seq);
  return out;
}

using numbers = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("frames of one partition share a message, and those of two do not") {
  frame_gatherer g;
  g.begin(10);
  g.add("3", piece_of(11));
  g.add("7", piece_of(12));
  g.add("3", piece_of(13));
  const auto first = g.take();
  CHECK(first.partition == "3");
  CHECK(numbers_of(first) == numbers{11, 13});
  CHECK(first.before == 10);
  CHECK(first.up_to == 11);  // 12 is not in the buffer yet
  const auto second = g.take();
  CHECK(numbers_of(second) == numbers{12});
  CHECK(second.up_to == 13);
  CHECK(g.empty());
}

TEST_CASE("an event that needs no message is vouched for by the last message of those before it") {
  frame_gatherer g;
  g.begin(10);
  g.add("3", piece_of(11));
  g.passed(12);
  g.add("7", piece_of(13));
  g.passed(14);
  CHECK(g.take().up_to == 12);
  CHECK(g.take().up_to == 14);
}

TEST_CASE("a message has at most so many frames and bytes") {
  frame_gatherer g({.frames = 3, .bytes = 100});
  g.add("3", piece_of(1));
  g.add("3", piece_of(2));
  CHECK_FALSE(g.is_full("3"));
  g.add("3", piece_of(3));
  CHECK(g.is_full("3"));
  CHECK_FALSE(g.is_full("7"));
  (void)g.take("3");
  g.add("3", piece_of(4, 60));
  CHECK_FALSE(g.must_wait("3", piece_of(5, 40)));
  CHECK(g.must_wait("3", piece_of(5, 41)));
  CHECK_FALSE(g.must_wait("7", piece_of(5, 41)));
}

TEST_CASE("a frame that is longer than a message of several waits for all others and goes alone") {
  frame_gatherer g({.frames = 3, .bytes = 100});
  CHECK_FALSE(g.must_wait("3", piece_of(1, 200)));
  g.add("7", piece_of(1));
  CHECK(g.must_wait("3", piece_of(2, 200)));
  (void)g.take();
  g.add("3", piece_of(2, 200));
  CHECK(g.is_full("3"));
  CHECK(g.take("3").up_to == 2);
}

TEST_CASE("X4: at every moment all that a message vouches for has been taken, and each frame once, in order") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::minstd_rand random(seed);
    frame_gatherer g({.frames = 1 + random() % 5, .bytes = 30});
    std::set<std::uint64_t> waits;  // given, and not in any message yet
    std::map<std::string, std::uint64_t> last;
    std::uint64_t seq = 100, vouched = 100;
    g.begin(seq);
    const auto check = [&](const frame_gatherer::parcel& p) {
      CHECK(p.before.seq <= (waits.empty() ? seq : *waits.begin() - 1));
      for (const auto& f : p.frames) {
        CHECK(waits.erase(f.at.seq) == 1);
        CHECK(last[p.partition] < f.at.seq);
        last[p.partition] = f.at.seq;
      }
      CHECK(p.up_to.seq == (waits.empty() ? seq : *waits.begin() - 1));
      CHECK(p.up_to.seq >= vouched);
      vouched = p.up_to.seq;
    };
    for (int step = 0; step < 200; ++step) {
      const auto partition = std::to_string(random() % 4);
      auto f = piece_of(++seq, 1 + random() % 40);
      if (random() % 5 == 0) {
        g.passed(seq);
        continue;
      }
      --seq;  // the frame is not given yet
      while (g.must_wait(partition, f)) check(g.take());
      waits.insert(++seq);
      g.add(partition, std::move(f));
      if (g.is_full(partition)) check(g.take(partition));
      if (random() % 10 == 0)
        while (!g.empty()) check(g.take());
    }
  }
}
