// Fills bucket `repo` with the states of many accounts, as a recordkv that has run for long would have left them.
//
// Owns: the state of each account of a recording before its first commit there; more accounts, up to a number.
// Does not know: records. Usage: bench-account-states NATS_URL RECORDING ACCOUNTS; prints how many states it wrote.
#include "recorded.hpp"

#include "recordkv/atproto/event.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/publisher.hpp"

#include <boost/asio/co_spawn.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <unordered_set>
#include <vector>

namespace {

using namespace recordkv;
using namespace recordkv::bench;

constexpr unsigned partitions = 16;
constexpr std::string_view before_all_revs = "2222222222222";

class state_writer {
 public:
  state_writer(nats::connection& nc, meters& counters, const nats::stream_state& now)
      : out_(nc, {.name = "states", .stream = "KV_repo"}, counters) {
    out_.attach(now);
  }

  nats::publisher& out() noexcept { return out_; }
  std::uint64_t written() const noexcept { return written_; }

  task<> write(kv::repo_state s) {
    const auto subject = "$KV.repo." + kv::repo_key(s.did, partitions);
    auto put = co_await out_.put(subject, {}, kv::to_json(s));
    if (!put) give_up(put.error());
    ++written_;
  }

 private:
  nats::publisher out_;
  std::uint64_t written_ = 0;
};

std::int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

kv::repo_state state_of(std::string did, std::string rev, std::string data, const std::string& multikey) {
  kv::repo_state s{.did = std::move(did), .rev = std::move(rev), .data = std::move(data)};
  s.verified = s.complete = true;
  s.filter = "3b9c1a7f";
  s.collections = {"app.bsky.actor.profile", "app.bsky.feed.like", "app.bsky.feed.post", "app.bsky.feed.repost",
                   "app.bsky.graph.follow"};
  s.begun = s.seen = s.rev;
  s.key = multikey;
  s.key_checked = seconds_now();
  s.pds = "https://morel.us-east.host.bsky.network";
  s.handle = s.did.substr(8, 12) + ".bsky.social";
  return s;
}

/// The state that each account of the recording has before its first commit there.
std::vector<kv::repo_state> recorded_states(const std::string& path, const account_keys& keys) {
  std::vector<kv::repo_state> out;
  std::unordered_set<std::string> seen;
  const auto note = [&](std::string_view message) {
    const auto e = atproto::decode_event(message);
    if (!e || e->kind != atproto::event_kind::commit || !seen.insert(e->did).second) return true;
    const auto key = keys.find(e->did);
    if (key == keys.end() || e->prev_data.empty()) return true;
    out.push_back(state_of(e->did, e->since.empty() ? std::string(before_all_revs) : e->since, e->prev_data,
                           key->second.multikey()));
    return true;
  };
  if (const auto read = read_messages(path, note); !read) give_up(read.error());
  return out;
}

/// An account that the recording does not have.
std::string other_did(std::uint64_t n) {
  static constexpr std::string_view alphabet = "234567abcdefghijklmnopqrstuvwxyz";
  std::string out = "did:plc:";
  for (int i = 0; i < 24; ++i) {
    n = n * 6364136223846793005ULL + 1442695040888963407ULL;
    out += alphabet[n >> 59];
  }
  return out;
}

task<> fill(nats::connection& nc, std::string path, std::uint64_t accounts) {
  const auto keys = read_keys(path);
  if (!keys) give_up(keys.error());
  const auto states = recorded_states(path, *keys);
  if (states.empty()) give_up(error{errc::not_found, "the recording has no commit"});
  auto store = co_await kv::open_store(nc, "record", partitions, 1);
  if (!store) give_up(store.error());
  auto repo = co_await nats::stream_info(nc, "KV_repo");
  if (!repo) give_up(repo.error());
  meters counters;
  state_writer to(nc, counters, *repo);
  nursery watches(co_await asio::this_coro::executor);
  to.out().start(watches);
  for (const auto& s : states) co_await to.write(s);
  while (to.written() < accounts) {
    auto s = states[to.written() % states.size()];
    s.did = other_did(to.written());
    co_await to.write(std::move(s));
  }
  while (to.out().in_flight() > 0) co_await to.out().moved().wait();
  fmt::print("{}\n", to.written());
  to.out().close();
  co_await watches.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: bench-account-states NATS_URL RECORDING ACCOUNTS\n");
    return 2;
  }
  log::set_level(log::level::warn);
  asio::io_context io(1);
  nats::connection nc(io);
  if (auto started = nc.start({.url = argv[1]}); !started) give_up(started.error());
  asio::co_spawn(io, fill(nc, argv[2], std::strtoull(argv[3], nullptr, 10)), [&io](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
    io.stop();
  });
  io.run();
}
