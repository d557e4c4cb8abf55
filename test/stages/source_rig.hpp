// What the tests of sources share: a loop, counters, captured log lines, and taking a number of frames.
#pragma once

#include "../support/fake_relay.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/firehose/source.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

namespace recordkv::test {

using namespace std::chrono_literals;
using firehose::frame;
using firehose::frame_source;
using notice = firehose::frame::notice;

struct source_rig {
  source_rig() {
    log::set_sink([this](log::level l, std::string_view part, std::string_view line) {
      lines.push_back(fmt::format("{} {}: {}", static_cast<int>(l), part, line));
    });
  }
  ~source_rig() { log::set_sink({}); }

  /// Quick retries; long patience otherwise, so that no test depends on it.
  firehose::source_spec spec(std::string url) {
    firehose::source_spec s;
    s.url = std::move(url);
    s.retry_base = 2ms;
    return s;
  }

  bool logged(std::string_view part_of_line) const {
    return std::ranges::any_of(lines, [&](const std::string& l) { return l.find(part_of_line) != l.npos; });
  }
  auto skipped(std::string_view why) const { return counters.value("source_skipped", why); }
  auto reconnects(std::string_view why) const { return counters.value("source_reconnects", why); }

  /// The next `n` frames or notices; fewer when the source ends or the time does.
  std::vector<frame> take(frame_source& source, std::size_t n) {
    auto got = finish(io, collect(source, n));
    return got ? std::move(*got) : std::vector<frame>{};
  }
  static task<std::vector<frame>> collect(frame_source& source, std::size_t n) {
    std::vector<frame> out;
    while (out.size() < n) {
      auto batch = co_await source.next();
      if (!batch) break;
      for (auto& f : *batch) out.push_back(std::move(f));
    }
    co_return out;
  }
  std::optional<result<std::vector<frame>>> next(frame_source& source) { return finish(io, source.next()); }

  asio::io_context io{1};
  meters counters;
  std::vector<std::string> lines;
};

inline std::vector<std::uint64_t> seqs(const std::vector<frame>& frames) {
  std::vector<std::uint64_t> out;
  for (const auto& f : frames) out.push_back(f.info.seq);
  return out;
}
using numbers = std::vector<std::uint64_t>;

}  // namespace recordkv::test
