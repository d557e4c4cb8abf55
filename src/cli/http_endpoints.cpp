#include "http_endpoints.hpp"

#include "readiness.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/part_stats_text.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/store_names.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include <boost/json.hpp>

namespace recordkv::cli {
namespace {

task<http::response> ready(http::response r) { co_return r; }

http::route plain(std::string path, std::function<http::response()> answer) {
  return {"GET", std::move(path), [answer = std::move(answer)](const http::request&) { return ready(answer()); }};
}

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::string gauge(std::string_view name, std::string_view help, double value) {
  return prometheus_value(name, "gauge", help, value);
}

}  // namespace

http_endpoints::http_endpoints(asio::io_context& io, const config& cfg, nats::connection& nc, const stats_board& board)
    : cfg_(cfg),
      nc_(nc),
      board_(board),
      started_(epoch_seconds(timestamp_now()).value_or(0)),
      server_(io,
              {plain("/healthz", [this] { return healthz(); }), plain("/readyz", [this] { return readyz(); }),
               plain("/metrics", [this] { return metrics(); })},
              counters_) {}

result<void> http_endpoints::open() {
  if (cfg_.http.listen.empty()) return {};
  auto listening = server_.listen(cfg_.http.listen);
  if (listening) {
    log::info("http", "http://{} answers /healthz, /readyz, /metrics", cfg_.http.listen);
    return {};
  }
  if (cfg_.http.asked_for || listening.error().code != errc::conflict) return listening;
  log::warn("http", "{}; going on without HTTP (write http.listen = \"\" or another address)", listening.error().text);
  return {};
}

// A process that answers is alive: its loop runs.
http::response http_endpoints::healthz() const { return {.body = "ok\n"}; }

http::response http_endpoints::readyz() const {
  boost::json::array parts, reasons;
  if (!nc_.up()) reasons.emplace_back("nats_down: " + nc_.last_error());
  const auto& all = board_.read();
  if (all.empty()) reasons.emplace_back("no stage has started");
  for (const auto& e : all) {
    boost::json::object part{{"stage", e.what->stage}, {"part", e.what->part}};
    add_report(part, *e.what);
    parts.push_back(std::move(part));
    if (auto why = reason_not_ready(condition_of(*e.what), cfg_.http.max_lag); !why.empty())
      reasons.emplace_back(std::move(why));
  }
  const bool ready = reasons.empty();
  boost::json::object body{{"ready", ready}, {"reasons", std::move(reasons)}, {"parts", std::move(parts)}};
  return {
      .status = ready ? 200u : 503u, .content_type = "application/json", .body = boost::json::serialize(body) + "\n"};
}

task<> http_endpoints::run() {
  nursery beside(co_await asio::this_coro::executor);
  if (server_.port() != 0) beside.spawn(watch_streams());
  co_await server_.run();
  co_await beside.join();
}

void http_endpoints::close() noexcept {
  closed_ = true;
  closing_.notify();
  server_.close();
}

// What only NATS knows is read in a loop of its own: a NATS server that hangs must not delay the answers.
task<> http_endpoints::watch_streams() {
  while (!closed_) {
    if (nc_.up()) {
      streams_text_ = co_await ask_streams();
      answered_ = std::chrono::steady_clock::now();
    }
    co_await closing_.wait_for(std::chrono::seconds(2));
  }
}

task<std::string> http_endpoints::ask_streams() {
  std::string text;
  if (auto buffer = co_await nats::stream_info(nc_, kv::store_names(cfg_.kv.bucket).buffer())) {
    text += gauge("recordkv_buffer_messages", "Messages in stream ingest.", static_cast<double>(buffer->messages));
    text += gauge("recordkv_buffer_bytes", "Their size.", static_cast<double>(buffer->bytes));
    text += gauge("recordkv_buffer_max_messages", "ingest.max_msgs.", static_cast<double>(cfg_.ingest.max_msgs));
  }
  if (auto store = co_await nats::stream_info(nc_, kv::store_names(cfg_.kv.bucket).store())) {
    text += gauge("recordkv_store_keys", "Keys in the store, delete markers among them.",
                  static_cast<double>(store->messages));
    text += gauge("recordkv_store_bytes", "Their size.", static_cast<double>(store->bytes));
    text += gauge("recordkv_store_max_keys", "kv.max_keys; 0: no limit.", static_cast<double>(cfg_.kv.max_keys));
  }
  co_return text;
}

http::response http_endpoints::metrics() const {
  std::vector<const part_stats*> parts;
  for (const auto& e : board_.read()) parts.push_back(e.what);
  std::string body = prometheus_value("recordkv_build_info", "gauge", "Always 1.", 1,
                                      fmt::format(R"(version="{}")", RECORDKV_VERSION));
  body += gauge("recordkv_start_time_seconds", "When this process started.", started_);
  body += gauge("recordkv_nats_up", "1: connected to NATS.", nc_.up() ? 1 : 0);
  body += prometheus_value("recordkv_nats_connects_total", "counter", "Connections to NATS made since the start.",
                           static_cast<double>(nc_.connects()));
  body += gauge("process_resident_memory_bytes", "Resident memory.", resident_bytes());
  body += prometheus_value("process_cpu_seconds_total", "counter", "User and system CPU.", cpu_seconds());
  // Old values would be wrong; these series are then absent.
  if (std::chrono::steady_clock::now() - answered_ < std::chrono::seconds(10)) body += streams_text_;
  body += prometheus_text(parts) + prometheus_counters(counters_);
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = std::move(body)};
}

}  // namespace recordkv::cli
