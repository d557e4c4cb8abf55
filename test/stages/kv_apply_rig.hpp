// What the tests of the kv pipeline share: the pipeline between fakes, and events made up on the spot.
#pragma once

#include "../support/fakes.hpp"
#include "../unit/atproto_support.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

namespace recordkv::test {

using namespace std::chrono_literals;
using numbers = std::vector<std::uint64_t>;
using words = std::vector<std::string>;

inline const std::string alice = "did:plc:44ybard66vv44zksje25o7dz";
inline const std::string bob = "did:plc:abcdefghijklmnopqrstuvwx";
inline const std::string carol = "did:plc:z72i7hdynmk6r22z27h6tvur";
inline const std::string like = "app.bsky.feed.like";
inline const std::string post = "app.bsky.feed.post";

/// The n-th revision: a TID, greater for a greater n.
inline std::string rev(unsigned n) {
  static constexpr std::string_view digits = "234567abcdefghijklmnopqrstuvwxyz";
  return std::string("3kabcdefgh2") + digits[n / 32 % 32] + digits[n % 32];
}

inline std::string key_of(const std::string& did, const std::string& collection, const std::string& rkey) {
  return "$KV.record." + kv::record_key::of(did, collection, rkey).text();
}

/// A Jetstream event; several of one rev make up a commit.
inline std::string event_of(const std::string& did, unsigned n, const std::string& rkey,
                            std::string_view what = "create", const std::string& collection = like) {
  const auto record = what == "delete" ? std::string() : fmt::format(R"(,"record":{{"n":{}}})", n);
  return fmt::format(R"({{"did":"{}","time_us":{},"kind":"commit","commit":{{"rev":"{}","operation":"{}",)"
                     R"("collection":"{}","rkey":"{}"{}}}}})",
                     did, 1700000000000000 + n, rev(n), what, collection, rkey, record);
}

inline std::string root(unsigned n) { return atproto::cid_text_of(fmt::format("tree {}", n)); }

/// A firehose commit of rev n whose tree's root is root(n), by default on top of root(n - 1), with one record a path.
struct commit_frame {
  std::string did = alice;
  unsigned n = 1;
  std::vector<std::string> paths{like + "/a"};
  unsigned before = 0;       // 0: n - 1
  bool lose_blocks = false;  // the records are named but not there
  bool remove = false;

  std::string bytes() const {
    made_commit c;
    c.did = did;
    c.rev = rev(n);
    c.data = root(n);
    c.first = cbor(fmt::format(R"({{"n":{}}})", n));
    c.ops = "[";
    for (const auto& p : paths) {
      const auto cid = remove ? std::string("null") : link_json(atproto::cid_text_of(c.first));
      c.ops += fmt::format(R"({}{{"action":"{}","path":"{}","cid":{}}})", c.ops.size() > 1 ? "," : "",
                           remove ? "delete" : "create", p, cid);
    }
    c.ops += "]";
    c.blocks = {lose_blocks ? cbor(R"({"another":true})") : c.first};
    c.old_cid = root(before ? before : n - 1);
    return c.bytes();
  }
};

inline std::string sync_frame(const std::string& did, unsigned n) {
  made_commit c;
  c.did = did;
  c.rev = rev(n);
  c.data = root(n);
  return frame("#sync", fmt::format(R"({{"seq":9,"did":"{}","rev":"{}","time":"t","blocks":{}}})", did, c.rev,
                                    bytes_json(car_of({c.head()}))));
}

inline std::string account_event(const std::string& did, bool active, std::string_view status) {
  return fmt::format(R"({{"did":"{}","time_us":1700000000000000,"kind":"account","account":{{"active":{},"did":"{}",)"
                     R"("seq":1,"status":"{}"}}}})",
                     did, active, did, status);
}

inline std::string marker(std::string_view word, const std::string& did) {
  return fmt::format(R"({{"marker":"{}","did":"{}"}})", word, did);
}

inline kv::repo_state state_at(const std::string& did, unsigned n) {
  return {.did = did, .rev = rev(n), .data = root(n), .collections = {like}};
}

/// The pipeline between fakes, with both of its coroutines running.
struct kv_rig {
  explicit kv_rig(stages::apply_rules r) : kv_rig() { rules = std::move(r); }
  explicit kv_rig(stages::pipeline_limits l = {}, pipe::window_limits window = {}) : limits(l), out(happened, window) {
    log::set_sink([this](log::level l, std::string_view part, std::string_view line) {
      lines.push_back(fmt::format("{} {}: {}", static_cast<int>(l), part, line));
    });
  }
  ~kv_rig() { log::set_sink({}); }

  void start() {
    auto port = states.port();
    if (load) port.load = load;
    apply = std::make_unique<stages::kv_pipeline>(in, out, std::move(port), decode, rules, verify, std::move(repair),
                                                  limits, counters);
    asio::co_spawn(io, apply->take(), [this](std::exception_ptr e, result<void> r) {
      if (e) std::rethrow_exception(e);
      took = r;
    });
    asio::co_spawn(io, apply->settle(), [this](std::exception_ptr e, result<void> r) {
      if (e) std::rethrow_exception(e);
      settled = r;
    });
  }
  /// No more messages; true when both coroutines then end.
  bool finish() {
    in.close();
    return becomes(io, [this] { return took && settled; });
  }
  template <class Fact>
  bool waits_for(Fact fact) {
    return becomes(io, fact);
  }
  bool settles(std::size_t n) {
    return becomes(io, [this, n] { return in.settled.size() >= n; });
  }
  bool logged(std::string_view part_of_line) const {
    return std::ranges::any_of(lines, [&](const std::string& l) { return l.find(part_of_line) != l.npos; });
  }
  auto ignored(std::string_view why) const { return counters.value("ignored", why); }
  auto skipped(std::string_view why) const { return counters.value("skipped", why); }
  words reasons(const std::string& did) const {
    const auto* s = states.find(did);
    return s ? s->reasons : words{"no state"};
  }
  std::uint64_t faults(const std::string& host, const std::string& reason) const {
    const auto& all = counters.of_hosts();
    const auto found = all.find({"account_faults", host, reason});
    return found == all.end() ? 0 : found->second;
  }
  words revs_written() const {
    words out_;
    for (const auto& s : states.written) out_.push_back(s.rev);
    return out_;
  }

  stages::apply_rules rules;
  stages::pipeline_limits limits;
  decltype(stages::state_port::load) load;  // instead of that of `states`
  stages::event_decoder decode = stages::decode_unverified;
  stages::verification verify;
  stages::repair repair;
  meters counters;
  words lines;
  journal happened;
  fake_inbox in{happened};
  fake_outbox out;
  fake_states states{happened};
  std::unique_ptr<stages::kv_pipeline> apply;
  std::optional<result<void>> took, settled;
  asio::io_context io{1};  // goes first: with it the coroutines that wait for what stands above
};

}  // namespace recordkv::test
