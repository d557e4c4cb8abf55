// Any history of a small repo, as the simulator signs it: each commit is proven, and undoing its ops leads to the tree
// before. Then one byte of the last frame is changed: what is still proven says the same.
//
// The input: a byte of flags, the place and the mask of the changed byte, and then commits. A commit is a count of
// changes; a change is its path and what its record holds.
#include "../simulator/signed/messages.hpp"
#include "property.hpp"
#include "recordkv/atproto/verify.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

constexpr std::string_view did = "did:plc:abcdefghijklmnopqrstuvwx";
constexpr std::uint64_t first_rev = 1'767'225'600'000'000ULL << 10;  // 2026-01-01
constexpr unsigned max_commits = 8, max_changes = 24;

class input {
 public:
  explicit input(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }
  unsigned byte() {
    if (rest_.empty()) return 0;
    const auto c = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return c;
  }

 private:
  std::string_view rest_;
};

sim::signing_key signer(sim::curve c, bool other = false) { return sim::signing_key::of(1, 1, other ? 1 : 0, c); }

/// Made once: a point of p256 costs more than all the rest.
public_key key_of(sim::curve c, bool other = false) {
  static const auto made = [](sim::curve of, bool second) {
    return *public_key::from_multikey(signer(of, second).multikey());
  };
  static const std::array keys{made(sim::curve::k256, false), made(sim::curve::k256, true),
                               made(sim::curve::p256, false), made(sim::curve::p256, true)};
  return keys[(c == sim::curve::p256 ? 2u : 0u) + (other ? 1u : 0u)];
}

struct author {
  explicit author(unsigned flags)
      : curve((flags & 1) != 0 ? sim::curve::p256 : sim::curve::k256),
        high_s((flags & 2) != 0),
        foreign((flags & 4) != 0),
        names_data(flags % 64 < 56) {}

  sim::curve curve;
  bool high_s;
  bool foreign;     ///< a server that is not Bluesky's: it leaves fields out
  bool names_data;  ///< its commits name the tree before them
};

sim::record_ptr record_at(const std::string& path, unsigned content) {
  auto made = std::make_shared<sim::record>();
  made->path = path;
  made->cbor = *cbor_of_json(fmt::format(R"({{"$type":"com.example.note","n":{}}})", content));
  made->cid = sim::cid::of(made->cbor);
  return made;
}

/// Changes of different paths. Each of them changes something.
std::vector<sim::change> read_changes(input& in, const sim::repo& before) {
  std::vector<sim::change> out;
  for (auto n = in.byte() % max_changes + 1; n > 0; --n) {
    const auto collection = in.byte() % 4;
    auto path = fmt::format("com.example.{}/{}", collection, in.byte());
    const auto content = in.byte();
    if (std::ranges::find(out, path, &sim::change::path) != out.end()) continue;
    const auto* const old = before.records.find(path);
    auto wanted = content % 2 == 0 ? record_at(path, content) : nullptr;
    if (old == nullptr ? wanted == nullptr : wanted != nullptr && wanted->cid == old->cid) continue;
    out.push_back({std::move(path), std::move(wanted)});
  }
  return out;
}

/// What a commit says about an account and its records, and is proven. All of it must be as it was signed.
bool same(const repo_event& a, const repo_event& b) {
  const auto same_change = [](const record_change& x, const record_change& y) {
    return x.what == y.what && x.collection == y.collection && x.rkey == y.rkey && x.cid == y.cid && x.json == y.json;
  };
  return a.kind == b.kind && a.did == b.did && a.rev == b.rev && a.data == b.data &&
         std::ranges::equal(a.changes, b.changes, same_change);
}

std::string text_of(const sim::cid& c) {
  std::string out;
  c.append_text(out);
  return out;
}

void demand_proven(const std::string& frame, const author& by, const sim::repo& before, const sim::committed& made) {
  const auto e = decode_provable(frame);
  DEMAND(e.has_value() && e->kind == event_kind::commit && e->proof.has_value());
  fuzz::demand_sound(*e);
  DEMAND(e->data == text_of(made.after.data) && e->changes.size() == made.ops.size());
  DEMAND(e->proof->flaw.empty());
  DEMAND(e->proof->from_empty == before.records.empty());
  DEMAND(e->proof->has_prev_data == by.names_data);
  DEMAND(!by.names_data || e->prev_data == text_of(before.data));
  DEMAND(verify(*e, key_of(by.curve)) == (by.high_s ? verdict::bad_signature : verdict::proven));
}

/// The same commit with a wrong tree before it, and with another key.
void demand_refused(sim::commit_message message, const author& by) {
  message.prev_data = sim::cid::of("another tree");
  const auto e = decode_provable(sim::encode(message, 1));
  DEMAND(e.has_value() && e->proof->flaw == "prev_data");
  DEMAND(by.high_s || verify(*e, key_of(by.curve)) == verdict::discontinuity);
  DEMAND(verify(*e, key_of(by.curve, true)) == verdict::bad_signature);
}

void demand_noticed(const std::string& good, std::string bad, const author& by) {
  const auto e = decode_provable(bad);
  if (!e) return fuzz::demand_sound(undecoded(bad, e.error()));
  fuzz::demand_sound(*e);
  if (verify(*e, key_of(by.curve)) == verdict::proven) DEMAND(same(*e, *decode_provable(good)));
}

/// A repo, and the message of its last commit.
struct history {
  sim::repo now;
  sim::commit_message last;
};

/// Commits once more, and demands that the commit is proven.
void extend(history& h, input& in, const author& by) {
  const auto changes = read_changes(in, h.now);
  const auto rev = std::max(h.now.rev + 1, first_rev);
  const auto key = signer(by.curve);
  const auto made = sim::commit(h.now, changes, rev, {.did = did, .curve = by.curve, .key = key, .high_s = by.high_s});
  h.last = {.did = did, .rev = rev, .since = h.now.rev, .time_us = 1, .commit = made.after.commit};
  h.last.blocks = sim::car_of_changes(made.after, changes);
  h.last.ops = made.ops;
  h.last.foreign = by.foreign;
  if (by.names_data) h.last.prev_data = h.now.data;
  demand_proven(sim::encode(h.last, 1), by, h.now, made);
  h.now = made.after;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  input in(fuzz::text(data, size));
  const author by(in.byte());
  const auto high = in.byte();
  const auto place = high << 8 | in.byte();
  const auto mask = static_cast<char>(std::max(in.byte(), 1u));
  history h;
  h.now.data = h.now.records.root();
  for (unsigned n = 0; n < max_commits && !in.done(); ++n) extend(h, in, by);
  if (h.now.rev == 0) return 0;
  demand_refused(h.last, by);
  const auto frame = sim::encode(h.last, 1);
  auto bad = frame;
  bad[place % bad.size()] ^= mask;
  demand_noticed(frame, std::move(bad), by);
  return 0;
}
