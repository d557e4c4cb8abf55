// The bare limits beside which ./dev bench repos measures the repair of accounts: each of its parts with nothing else
// done, one after the other.
//
// Owns: the clock, and the parts. The repos are downloaded. The exports are checked, and their records become JSON,
// both on one thread. The records go into a stream like the store. Their headers are read out of it again.
// Does not know: accounts' states, and what the store had before. Usage: bench-bare-repos NATS_URL NATS_PID LIST; a
// line of the list is "PDS DID". Prints JSON: seconds of each part, and CPU seconds of this process and of the server.
#include "recorded.hpp"
#include "recordkv/atproto/json.hpp"
#include "recordkv/atproto/repo_export.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/nats/pull_consumer.hpp"
#include "recordkv/xrpc/pds_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/json.hpp>

#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <vector>

using namespace recordkv;
using bench::give_up;

namespace {

constexpr std::size_t requests_at_once = 16;  // as many as stage kv has under way
constexpr unsigned partitions = 16;

struct message {
  std::string subject;
  nats::header_list headers;
  std::string json;
};

struct repo {
  std::string pds, did, car;
};

std::vector<repo> read_list(const char* path) {
  std::vector<repo> out;
  std::ifstream in(path);
  for (repo r; in >> r.pds >> r.did;) out.push_back(r);
  if (out.empty()) give_up(error{errc::not_found, fmt::format("{} names no account", path)});
  return out;
}

double own_cpu() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// The 14th and 15th field of /proc/PID/stat; the second one may contain spaces.
double cpu_of(const std::string& pid) {
  std::ifstream in("/proc/" + pid + "/stat");
  std::string text;
  std::getline(in, text);
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

struct used {
  double seconds, own, server;
};

used now(const std::string& server_pid) {
  const auto t = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double>(t).count(), own_cpu(), cpu_of(server_pid)};
}

class measurement {
 public:
  measurement(nats::connection& nc, std::string server_pid, std::vector<repo> repos)
      : nc_(nc), server_pid_(std::move(server_pid)), repos_(std::move(repos)) {}

  task<> run() {
    co_await download();
    check();
    to_json();
    co_await publish();
    co_await read_keys();
    fmt::print("{}\n", boost::json::serialize(boost::json::object{{"repos", repos_.size()},
                                                                  {"records", messages_.size()},
                                                                  {"car_bytes", car_bytes_},
                                                                  {"json_bytes", json_bytes_},
                                                                  {"seconds", std::move(seconds_)},
                                                                  {"cpu", std::move(own_)},
                                                                  {"nats_cpu", std::move(server_)}}));
  }

 private:
  void begin() { began_ = now(server_pid_); }
  void end(const char* part) {
    const auto t = now(server_pid_);
    seconds_[part] = t.seconds - began_.seconds;
    own_[part] = t.own - began_.own;
    server_[part] = t.server - began_.server;
  }

  task<> download() {
    xrpc::byte_budget budget(std::size_t{4} << 30);
    xrpc::pds_client client(co_await asio::this_coro::executor, {.allow_private_hosts = true}, budget, counters_);
    begin();
    nursery all(co_await asio::this_coro::executor);
    for (std::size_t i = 0; i < requests_at_once; ++i) all.spawn(download_some(client));
    co_await all.join();
    end("download");
    for (const auto& r : repos_) car_bytes_ += r.car.size();
  }

  task<> download_some(xrpc::pds_client& client) {
    while (next_ < repos_.size()) {
      auto& r = repos_[next_++];
      auto got = co_await client.get_repo(r.pds, r.did);
      if (!got) give_up(error{got.error().code, got.error().text});
      r.car = got->take_car();
    }
  }

  void check() {
    begin();
    for (auto& r : repos_) {
      auto read = atproto::repo_export::read(std::move(r.car), r.did);
      if (!read) give_up(read.error());
      exports_.push_back(std::move(*read));
    }
    end("check");
  }

  void to_json() {
    begin();
    std::vector<std::string> texts;
    for (const auto& e : exports_)
      for (const auto& r : e.records()) {
        auto json = atproto::json_of(r.data);
        if (!json) give_up(json.error());
        texts.push_back(std::move(*json));
      }
    end("json");
    auto text = texts.begin();
    for (std::size_t i = 0; i < repos_.size(); ++i)
      for (const auto& r : exports_[i].records()) add_message(repos_[i].did, exports_[i], r, std::move(*text++));
    exports_.clear();
  }

  void add_message(const std::string& did, const atproto::repo_export& of, const atproto::exported_record& r,
                   std::string json) {
    const auto slash = r.path.find('/');
    const auto key = kv::record_key::of(did, r.path.substr(0, slash), r.path.substr(slash + 1), partitions);
    json_bytes_ += json.size();
    auto& m = messages_.emplace_back(message{"$KV.bare." + key.text(), {}, std::move(json)});
    m.headers.push_back({"cid", atproto::cid_text(r.cid)});
    m.headers.push_back({"rev", of.rev()});
    m.headers.push_back({"time", time_});
    m.headers.push_back({"op", "create"});
  }

  task<> publish() {
    nats::stream_spec spec{.name = "KV_bare", .max_msgs_per_subject = 1, .kv_bucket = true};
    spec.subjects.push_back("$KV.bare.>");
    auto made = co_await nats::ensure(nc_, std::move(spec));
    if (!made) give_up(made.error());
    nats::publisher out(nc_, {.name = "bare", .stream = "KV_bare"}, counters_);
    out.attach(made->state);
    nursery watches(co_await asio::this_coro::executor);
    out.start(watches);
    begin();
    for (auto& m : messages_) {
      auto put = co_await out.put(std::move(m.subject), std::move(m.headers), std::move(m.json));
      if (!put) give_up(put.error());
    }
    while (out.in_flight() > 0) co_await out.moved().wait();
    end("publish");
    out.close();
    co_await watches.join();
  }

  task<> read_keys() {
    auto facts = co_await nats::jetstream_facts(nc_);
    if (!facts) give_up(facts.error());
    nats::consumer_spec spec{.stream = "KV_bare",
                             .policy = nats::acks::none,
                             .headers_only = true,
                             .last_per_subject = true,
                             .credit = 16384};
    spec.filters.push_back("$KV.bare.>");
    begin();
    nats::pull_consumer from(nc_, std::move(spec), counters_, facts->api_level);
    if (auto attached = co_await from.attach(); !attached) give_up(attached.error());
    for (std::size_t read = 0; read < messages_.size();) {
      auto batch = co_await from.next();
      if (!batch) give_up(batch.error());
      read += batch->size();
    }
    end("keys");
  }

  nats::connection& nc_;
  std::string server_pid_;
  std::vector<repo> repos_;
  std::vector<atproto::repo_export> exports_;
  std::vector<message> messages_;
  const std::string time_ = timestamp_now();
  meters counters_;
  used began_{};
  boost::json::object seconds_, own_, server_;
  std::size_t next_ = 0, car_bytes_ = 0, json_bytes_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: bench-bare-repos NATS_URL NATS_PID LIST\n");
    return 2;
  }
  log::set_level(log::level::warn);
  asio::io_context io(1);
  nats::connection nc(io);
  if (auto started = nc.start({.url = argv[1]}); !started) give_up(started.error());
  measurement all(nc, argv[2], read_list(argv[3]));
  asio::co_spawn(io, all.run(), [&io](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
    io.stop();
  });
  io.run();
}
