// The pure parts of recordkv, each run over and over on inputs of the repository, for a count of instructions.
//
// Owns: which parts are counted, and on which inputs. Does not know: clocks. instructions.py runs it under callgrind
// with two counts: the difference leaves out the start of the program and the reading of the inputs.
// Usage: bench-pure-parts FIXTURES PART EVENTS; prints how many events it has handled, at least EVENTS.
#include "recorded.hpp"

#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/verify.hpp"
#include "recordkv/kv/frame_batch.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "recordkv/view/plan.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace recordkv;
using namespace recordkv::bench;

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) out.push_back(line);
  if (out.empty()) give_up(error{errc::not_found, path + " can't be read"});
  return out;
}

std::vector<std::string> messages_of(const std::string& path) {
  std::vector<std::string> out;
  const auto read = read_messages(path, [&](std::string_view m) { return out.emplace_back(m), true; });
  if (!read) give_up(read.error());
  return out;
}

/// A result that the compiler can't leave out.
std::size_t sum = 0;

void take(std::size_t n) { sum += n; }

struct input {
  std::vector<std::string> events, frames;  // of Jetstream, of a relay
  std::vector<atproto::record_change> records;
  std::vector<view::plan> plans;
  std::string batch, state;
};

input read_input(const std::string& fixtures) {
  input in{.events = lines_of(fixtures + "/_derived/jetstream/invented_v1.jsonl"),
           .frames = messages_of(fixtures + "/_derived/signed-chain/stream.bin")};
  for (const auto& e : in.events)
    if (auto event = atproto::decode_event(e))
      for (auto& c : event->changes)
        if (!c.json.empty()) in.records.push_back(std::move(c));
  auto plans = view::load_plans("config/views/likes.toml");
  if (!plans) give_up(plans.error());
  in.plans = std::move(*plans);
  for (std::size_t i = 0; i < 16; ++i)
    kv::append_frame(in.batch, {.seq = i + 1, .bytes = in.events[i % in.events.size()]});
  kv::repo_state s{.did = "did:plc:inventedadgjmpsvy36behkn", .rev = "3mmaaaaaaab2a"};
  s.data = "bafyreib6lr2lxxcltnoawtytdusif77uux3dkdccv723pbxznmt4n6rhkm";
  s.verified = s.complete = true;
  s.filter = "3b9c1a7f";
  s.collections = {"app.bsky.actor.profile", "app.bsky.feed.like", "app.bsky.feed.post", "app.bsky.feed.repost"};
  in.state = kv::to_json(s);
  return in;
}

/// Each returns how many events it has handled.
std::size_t summarise_jetstream(const input& in) {
  for (const auto& e : in.events) take(atproto::summarise_jetstream(e).has_value());
  return in.events.size();
}

std::size_t summarise_frame(const input& in) {
  for (const auto& f : in.frames) take(atproto::summarise_frame(f).has_value());
  return in.frames.size();
}

std::size_t decode_jetstream(const input& in) {
  for (const auto& e : in.events) take(atproto::decode_event(e).has_value());
  return in.events.size();
}

std::size_t decode_frame(const input& in) {
  for (const auto& f : in.frames) take(atproto::decode_event(f).has_value());
  return in.frames.size();
}

/// All of verification but the signature, which is the work of a library.
std::size_t prove_frame(const input& in) {
  for (const auto& f : in.frames) take(atproto::decode_provable(f).has_value());
  return in.frames.size();
}

std::size_t record_key(const input& in) {
  for (const auto& r : in.records) {
    const auto key = kv::record_key::of("did:plc:inventedadgjmpsvy36behkn", r.collection, r.rkey).text();
    take(kv::record_key::parse(key)->rkey.size());
  }
  return in.records.size();
}

std::size_t extract(const input& in) {
  for (const auto& r : in.records)
    take(view::extract(in.plans.front(), {.did = "did:plc:inventedadgjmpsvy36behkn",
                                          .collection = r.collection,
                                          .rkey = r.rkey,
                                          .cid = r.cid,
                                          .rev = "3mmaaaaaaab2a",
                                          .time = "2026-05-25T14:23:28.778Z",
                                          .json = r.json})
             .rows.size());
  return in.records.size();
}

std::size_t batch(const input& in) {
  std::string again;
  for (const auto& f : *kv::frames_in(in.batch)) kv::append_frame(again, f);
  take(again.size());
  return 16;
}

std::size_t account_state(const input& in) {
  take(kv::to_json(*kv::parse_repo_state(in.state)).size());
  return 1;
}

struct part {
  std::string_view name;
  std::size_t (*run)(const input&);
};

constexpr part parts[] = {{"summarise_jetstream", summarise_jetstream},
                          {"summarise_frame", summarise_frame},
                          {"decode_jetstream", decode_jetstream},
                          {"decode_frame", decode_frame},
                          {"prove_frame", prove_frame},
                          {"record_key", record_key},
                          {"extract", extract},
                          {"batch", batch},
                          {"account_state", account_state}};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    for (const auto& p : parts) fmt::print("{}\n", p.name);
    return 0;
  }
  if (argc != 4) {
    fmt::print(stderr, "usage: bench-pure-parts FIXTURES PART EVENTS, or --list\n");
    return 2;
  }
  const input in = read_input(argv[1]);
  for (const auto& p : parts) {
    if (p.name != argv[2]) continue;
    std::size_t events = 0;
    while (events < std::strtoul(argv[3], nullptr, 10)) events += p.run(in);
    fmt::print("{}\n", events);
    return sum == 0 ? 1 : 0;  // nothing was handled: a count of that is worth nothing
  }
  fmt::print(stderr, "bench-pure-parts: no part {}\n", argv[2]);
  return 2;
}
