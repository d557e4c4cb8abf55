#include "recordkv/core/part_stats_text.hpp"
#include "recordkv/core/timestamp.hpp"

#include <fmt/format.h>
#include <boost/json.hpp>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

using namespace recordkv;

namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("statistics as Prometheus text: each name once, each cause 0 or 1, buckets cumulative") {
  part_stats kv{.stage = "kv", .part = "kv-0-7"}, view{.stage = "index", .part = "view-likes"};
  kv.running = view.running = true;
  kv.events = 5;
  kv.counted.add("ignored", "older", 3);
  view.counted.add("ignored", "older", 1);
  view.counted.add("rows", {}, 7);
  kv.publish.observe(0.002);
  kv.publish.observe(0.002);
  kv.publish.observe(1000);
  view.health.bad(cause::disk_full, "full", {});
  const auto text = prometheus_text({&kv, &view});
  CHECK(has_line(text, R"(recordkv_events_total{stage="kv",part="kv-0-7"} 5)"));
  CHECK(has_line(text, R"(recordkv_stage_up{stage="kv",part="kv-0-7"} 1)"));
  CHECK(has_line(text, R"(recordkv_stage_up{stage="index",part="view-likes"} 0)"));
  CHECK(has_line(text, R"(recordkv_stalled{stage="index",part="view-likes",cause="disk_full"} 1)"));
  CHECK(has_line(text, R"(recordkv_stalled{stage="kv",part="kv-0-7",cause="disk_full"} 0)"));
  CHECK(has_line(text, R"(recordkv_ignored_total{stage="kv",part="kv-0-7",reason="older"} 3)"));
  CHECK(has_line(text, R"(recordkv_rows_total{stage="index",part="view-likes"} 7)"));
  CHECK(has_line(text, R"(recordkv_publish_seconds_bucket{stage="kv",part="kv-0-7",le="0.001"} 0)"));
  CHECK(has_line(text, R"(recordkv_publish_seconds_bucket{stage="kv",part="kv-0-7",le="0.0025"} 2)"));
  CHECK(has_line(text, R"(recordkv_publish_seconds_bucket{stage="kv",part="kv-0-7",le="60"} 2)"));
  CHECK(has_line(text, R"(recordkv_publish_seconds_bucket{stage="kv",part="kv-0-7",le="+Inf"} 3)"));
  CHECK(text.find("recordkv_repairs_waiting") == std::string::npos);  // no part repairs
  kv.repairs = {.waiting = 3, .under_way = 1, .bytes = 1000, .max_bytes = 2000};
  const auto repairing = prometheus_text({&kv, &view});
  CHECK(has_line(repairing, R"(recordkv_repairs_waiting{stage="kv",part="kv-0-7"} 3)"));
  CHECK(has_line(repairing, R"(recordkv_repair_bytes{stage="kv",part="kv-0-7"} 1000)"));
  CHECK(has_line(repairing, R"(recordkv_repair_max_bytes{stage="kv",part="kv-0-7"} 2000)"));
  CHECK(repairing.find(R"(recordkv_repair_bytes{stage="index")") == std::string::npos);
  for (const char* name : {"recordkv_ignored_total", "recordkv_stalled", "recordkv_publish_seconds"}) {
    const auto head = fmt::format("# TYPE {} ", name);
    CHECK(text.find(head) != std::string::npos);
    CHECK(text.find(head) == text.rfind(head));
  }
  CHECK(prometheus_text({}).empty());
}

TEST_CASE("statistics as a report: state, cause and since, and no control characters") {
  const auto report_of = [](const part_stats& p) {
    boost::json::object report;
    add_report(report, p);
    return report;
  };
  part_stats f{.stage = "kv", .part = "kv"};
  CHECK(report_of(f).at("state") == "starting");
  f.standby = true;
  CHECK(report_of(f).at("state") == "standby");
  f.standby = false;
  f.running = true;
  CHECK(report_of(f).at("state") == "running");
  CHECK_FALSE(report_of(f).contains("cause"));
  const std::chrono::system_clock::time_point then{std::chrono::seconds(1'700'000'000)};
  f.health.bad(cause::disk_full, "say \"no\"\n", then);
  const auto stalled = report_of(f);
  CHECK(stalled.at("state") == "stalled");
  CHECK(stalled.at("cause") == "disk_full");
  CHECK(stalled.at("reason") == "say \"no\" ");
  CHECK(stalled.at("stalled_since") == "2023-11-14T22:13:20Z");
  f.health.good();
  CHECK(report_of(f).at("state") == "running");
}

TEST_CASE("a report tells seconds to the millisecond, and only counters that counted a reason") {
  part_stats f{.stage = "kv", .part = "kv"};
  f.lag_seconds = 1.23456;
  f.counted.add("skipped", "float", 2);
  f.counted.add("commits");
  boost::json::object report;
  add_report(report, f);
  CHECK(report.at("lag_seconds").as_double() == 1.235);
  CHECK(report.at("counted") == boost::json::object{{"skipped float", 2}});
}

TEST_CASE("a stall begins when its own cause began") {
  using std::chrono::hours;
  const part_health::time ten{std::chrono::seconds(1'700'000'000)};
  part_health h;
  h.bad(cause::source_silent, "nothing for 60 s", ten);
  h.bad(cause::source_silent, "nothing for 120 s", ten + hours(1));
  CHECK(h.stalled()->reason == "nothing for 120 s");
  CHECK(h.stalled()->since == ten);
  h.bad(cause::nats_down, "no connection to NATS", ten + hours(2));
  CHECK(h.stalled()->what == cause::nats_down);
  CHECK(h.stalled()->since == ten + hours(2));
  h.bad(cause::source_silent, "nothing for 60 s", ten + hours(3));  // what was before another cause does not count
  CHECK(h.stalled()->since == ten + hours(3));
  h.good();
  CHECK_FALSE(h.stalled().has_value());
}

TEST_CASE("quantiles are bounds of buckets") {
  histogram h;
  CHECK(h.quantile(0.99) == 0);
  for (int i = 0; i < 99; ++i) h.observe(0.004);
  h.observe(2);
  CHECK(h.quantile(0.5) == 0.005);
  CHECK(h.quantile(0.999) == 2.5);
  CHECK(h.sum() == Catch::Approx(99 * 0.004 + 2));
}

TEST_CASE("times on the wire") {
  CHECK(epoch_seconds("1970-01-01T00:00:00Z") == 0.0);
  CHECK(*epoch_seconds("2026-11-23T12:00:00.25Z") == Catch::Approx(1795435200.25));
  for (const char* wrong : {"", "2026-11-23", "2026-11-23T12:00:00", "2026-13-23T12:00:00Z", "2026-11-23T25:00:00Z",
                            "2026-11-23T12:00:00+01:00", "2026-11-23T12:00:00,5Z", "x026-11-23T12:00:00Z"})
    CHECK_FALSE(epoch_seconds(wrong).has_value());
  const auto age = seconds_since(timestamp_now());
  REQUIRE(age.has_value());
  CHECK(*age >= 0);
  CHECK(*age < 60);
}
