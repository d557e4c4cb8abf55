// How long one thread needs to verify the commits of a recording, beside the bare check of their signatures.
//
// Owns: the parts of verification that are measured, each over the same commits, and the clock.
// Does not know: NATS, accounts' states. Usage: bench-verify-core RECORDING COMMITS ROUNDS [PART]; prints JSON.
// The clock counts the thread's own time on a core: other programs disturb it less. The best round of each part counts.
#include "bare_signature.hpp"
#include "proof.hpp"
#include "recorded.hpp"

#include "recordkv/atproto/verify.hpp"

#include <boost/json.hpp>

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <vector>

namespace {

using namespace recordkv;
using namespace recordkv::bench;
using atproto::verdict;

struct sample {
  std::string frame;
  atproto::public_key key;
  atproto::repo_event decoded;
  bare_signature bare;
};

std::vector<sample> read_samples(const std::string& path, std::size_t count) {
  const auto keys = read_keys(path);
  if (!keys) give_up(keys.error());
  std::vector<sample> out;
  const auto keep = [&](std::string_view message) {
    auto event = atproto::decode_provable(message);
    if (!event) give_up(event.error());
    const auto key = keys->find(event->did);
    if (event->kind != atproto::event_kind::commit || key == keys->end()) return true;
    bare_signature bare(key->second, *event->proof);
    out.push_back({std::string(message), key->second, std::move(*event), std::move(bare)});
    return out.size() < count;
  };
  if (const auto read = read_messages(path, keep); !read) give_up(read.error());
  return out;
}

bool bare(const sample& s) { return s.bare.right(); }

bool signature(const sample& s) { return atproto::verify(s.decoded, s.key) == verdict::proven; }

/// Every check, and no record as JSON: CIDs of all blocks, the commit block, the tree, the signature.
bool checks(const sample& s) {
  const auto parts = atproto::split_frame(s.frame);
  const auto message = atproto::read_commit(parts->payload);
  const auto blocks = atproto::car::read(message->blocks);
  if (!blocks) return false;
  const auto head = blocks->find(message->commit);
  const auto commit = atproto::read_signed_commit(head);
  if (!commit) return false;
  atproto::repo_event e;
  e.proof = atproto::signature_proof(head, *commit);
  atproto::add_tree_proof(*e.proof, *message, *blocks, commit->data);
  return atproto::verify(e, s.key) == verdict::proven;
}

bool decode(const sample& s) { return atproto::decode_event(s.frame).has_value(); }

bool everything(const sample& s) {
  const auto e = atproto::decode_provable(s.frame);
  return e && atproto::verify(*e, s.key) == verdict::proven;
}

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct part {
  const char* name;
  bool (*run)(const sample&);
  double best = std::numeric_limits<double>::max();  // seconds for all samples
};

void measure(part& p, const std::vector<sample>& samples) {
  const double began = thread_seconds();
  for (const auto& s : samples)
    if (!p.run(s)) give_up(error{errc::malformed, fmt::format("{}: a true commit was refused", p.name)});
  p.best = std::min(p.best, thread_seconds() - began);
}

void print(const std::vector<part>& parts, const std::vector<sample>& samples) {
  const auto count = static_cast<double>(samples.size());
  std::size_t bytes = 0, on_p256 = 0, ops = 0;
  for (const auto& s : samples) {
    bytes += s.frame.size();
    ops += s.decoded.changes.size();
    on_p256 += s.key.on() == atproto::curve::p256 ? 1 : 0;
  }
  boost::json::object micros;
  for (const auto& p : parts) micros[p.name] = p.best / count * 1e6;
  fmt::print("{}\n", boost::json::serialize(boost::json::object{{"commits", samples.size()},
                                                                {"mean_bytes", static_cast<double>(bytes) / count},
                                                                {"mean_ops", static_cast<double>(ops) / count},
                                                                {"p256_share", static_cast<double>(on_p256) / count},
                                                                {"us", std::move(micros)}}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    fmt::print(stderr, "usage: bench-verify-core RECORDING COMMITS ROUNDS [PART]\n");
    return 2;
  }
  const auto samples = read_samples(argv[1], std::strtoul(argv[2], nullptr, 10));
  if (samples.empty()) give_up(error{errc::not_found, "the recording has no commit"});
  std::vector<part> parts{
      {"bare", bare}, {"signature", signature}, {"checks", checks}, {"decode", decode}, {"everything", everything}};
  if (argc == 5)
    std::erase_if(parts, [&](const part& p) { return p.name != std::string_view(argv[4]); });  // to profile
  for (auto rounds = std::strtoul(argv[3], nullptr, 10); rounds > 0; --rounds)
    for (auto& p : parts) measure(p, samples);
  print(parts, samples);
}
