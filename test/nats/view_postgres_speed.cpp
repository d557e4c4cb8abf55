// How fast PostgreSQL takes rows; not run by itself: ./view-postgres "[.speed]".
#include "view_postgres_rig.hpp"

using namespace recordkv::view;
using namespace recordkv::view::test;

TEST_CASE("postgres: how fast", "[.speed]") {
  recordkv::test::postgres_process server;
  const plan p = plan_of(server.directory(), R"(
[[view]]
name = "likes"
collection = "app.bsky.feed.like"
columns = [ { name = "subject", pointer = "/subject", required = true, index = true },
            { name = "created_at", pointer = "/createdAt", type = "timestamp" } ]
count = ["subject"]
)");
  opened o(server.url());
  const auto b = o.must(o.views->begin(p, at(1), 1'000'000'000, 0));
  const auto batch = [&](std::size_t from, std::size_t n) {
    std::vector<change> out(n);
    for (std::size_t i = 0; i < n; ++i) {
      const auto k = from + i;
      out[i] = {.did = fmt::format("did:plc:{:024x}", (k * 2654435761u) % 300'000),
                .collection = "app.bsky.feed.like",
                .rkey = fmt::format("3k{:011d}", k)};
      out[i].rows = {{std::string(fmt::format("at://did:plc:{:024x}/app.bsky.feed.post/3k{:011d}",
                                              (k * 40503) % 200'000, k % 200'000)),
                      std::string("2024-11-05T12:00:00.123456Z")}};
    }
    return out;
  };
  const auto seconds = [](auto from) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  };
  constexpr std::size_t total = 2'000'000, piece = 5'000;
  double making = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < total; i += piece) {
    const auto t = std::chrono::steady_clock::now();
    auto changes = batch(i, piece);
    making += seconds(t);
    o.apply(p, b.number, std::move(changes), at(i + 1), at(i + piece + 1));
  }
  const auto loaded = seconds(begun) - making;
  o.run(o.views->end_bulk(p, b.number), 600s).value();
  const auto whole = seconds(begun) - making;
  fmt::print("bulk: {} rows, {:.0f}/s copied, {:.0f}/s with end_bulk\n", total, total / loaded, total / whole);
  auto from = total + 1;
  for (const std::size_t n : {10, 100, 1000, 5000}) {
    double used = 0, worst = 0;
    constexpr int rounds = 40;
    for (int i = 0; i < rounds; ++i) {
      auto changes = batch(from, n);
      const auto t = std::chrono::steady_clock::now();
      o.apply(p, b.number, std::move(changes), at(from), at(from + n));
      used += seconds(t);
      worst = std::max(worst, seconds(t));
      from += n;
    }
    fmt::print("live: {} a batch: {:.2f} ms, at most {:.2f} ms, {:.0f} rows/s\n", n, used / rounds * 1e3, worst * 1e3,
               static_cast<double>(n) * rounds / used);
  }
}
