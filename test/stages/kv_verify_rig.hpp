// What the tests of verification in stage `kv` share: the pipeline with a directory of keys and a check of signatures,
// both fake.
//
// Owns: frames whose 64 bytes of signature say in plain letters which key signed them and what their tree proves. The
// check that reads these letters. A directory whose answers a test can change, fail or hold back.
// Does not know: real signatures and trees (unit/atproto).
#pragma once

#include "kv_apply_rig.hpp"
#include "recordkv/atproto/verify.hpp"

#include <map>
#include <set>

namespace recordkv::test {

using atproto::verdict;

/// Keys A, B and C, real ones so that they can be parsed.
inline std::string multikey(char letter) {
  static constexpr std::array<std::string_view, 3> keys{"zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
                                                        "zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2",
                                                        "zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N"};
  return std::string(keys.at(static_cast<std::size_t>(letter - 'A')));
}

/// What the account's identity is while its key is `letter`.
inline identity::account_identity identity_with(char letter) {
  return {.key = multikey(letter), .pds = "https://pds.example", .handle = "name.example"};
}

/// A commit or #sync as commit_frame makes it, signed by the key of a letter.
struct signed_frame {
  std::string did = alice;
  unsigned n = 1;
  char signer = 'A';
  std::vector<std::string> paths{like + "/a"};
  unsigned before = 0;        // 0: n - 1
  bool flawed = false;        // the tree does not prove the ops
  bool from_empty = false;    // undoing the ops leads to the empty tree
  bool no_prev_data = false;  // of a host that predates Sync 1.1
  unsigned tree = 0;          // 0: n

  std::string signature() const {
    return std::string{signer, flawed ? 'x' : '.', from_empty ? 'e' : '.'} + std::string(61, '-');
  }
  made_commit made() const {
    made_commit c;
    c.did = did;
    c.rev = rev(n);
    c.data = root(tree ? tree : n);
    c.first = cbor(fmt::format(R"({{"n":{}}})", n));
    c.commit_block = cbor(fmt::format(R"({{"did":"{}","rev":"{}","sig":{},"data":{},"prev":null,"version":3}})", did,
                                      c.rev, bytes_json(signature()), link_json(c.data)));
    c.ops = "[";
    for (const auto& p : paths)
      c.ops += fmt::format(R"({}{{"action":"create","path":"{}","cid":{}}})", c.ops.size() > 1 ? "," : "", p,
                           link_json(atproto::cid_text_of(c.first)));
    c.ops += "]";
    c.blocks = {c.first};
    c.old_cid = root(before ? before : n - 1);
    return c;
  }
  std::string bytes() const {
    const auto c = made();
    auto json = c.payload_json();
    if (no_prev_data) json.erase(json.rfind(",\"prevData\""), json.rfind('}') - json.rfind(",\"prevData\""));
    return frame("#commit", json);
  }
  std::string sync() const {
    const auto c = made();
    return frame("#sync", fmt::format(R"({{"seq":9,"did":"{}","rev":"{}","time":"t","blocks":{}}})", did, c.rev,
                                      bytes_json(car_of({c.head()}))));
  }
};

inline std::string identity_frame(const std::string& did) {
  return frame("#identity", fmt::format(R"({{"seq":9,"did":"{}","time":"t"}})", did));
}
inline std::string account_frame(const std::string& did, bool active, std::string_view status = "") {
  const auto said = status.empty() ? std::string() : fmt::format(R"(,"status":"{}")", status);
  return frame("#account", fmt::format(R"({{"seq":9,"did":"{}","time":"t","active":{}{}}})", did, active, said));
}

/// decode_provable(), with the letters' word for what the tree proves.
inline result<atproto::repo_event> decode_by_letters(std::string_view payload) {
  auto e = atproto::decode_provable(payload);
  if (!e || !e->proof) return e;
  e->proof->flaw = e->proof->signature[1] == 'x' ? "op_value" : "";
  e->proof->from_empty = e->proof->signature[2] == 'e';
  return e;
}

inline verdict verify_by_letters(const atproto::repo_event& e, const atproto::public_key& key) {
  if (!e.proof) return verdict::unproven;
  if (key.multikey() != multikey(e.proof->signature[0])) return verdict::bad_signature;
  return e.proof->flaw.empty() ? verdict::proven : verdict::discontinuity;
}

class fake_directory {
 public:
  /// What it says of an account; of others it says key A.
  std::map<std::string, result<identity::account_identity>> says;
  std::vector<std::string> asked;
  std::vector<std::string> changed;
  std::string error_text;

  void keep_waiting(const std::string& did) { slow_.insert(did); }
  void answer(const std::string& did) {
    slow_.erase(did);
    answered_.notify();
  }
  auto times_asked(const std::string& did) const { return std::ranges::count(asked, did); }
  std::size_t under_way() const noexcept { return under_way_; }
  std::size_t most_under_way = 0;

  stages::identity_port port() {
    return {.look_up = [this](std::string did) { return look_up(std::move(did)); },
            .changed = [this](const std::string& did) { changed.push_back(did); },
            .close =
                [this] {
                  closed_ = true;
                  answered_.notify();
                },
            .last_error = [this] { return error_text; }};
  }

 private:
  task<result<identity::account_identity>> look_up(std::string did) {
    asked.push_back(did);
    most_under_way = std::max(most_under_way, ++under_way_);
    while (slow_.contains(did) && !closed_) co_await answered_.wait();
    --under_way_;
    if (closed_) co_return fail(errc::closed, "closed");
    const auto found = says.find(did);
    co_return found == says.end() ? result<identity::account_identity>(identity_with('A')) : found->second;
  }

  std::set<std::string> slow_;
  std::size_t under_way_ = 0;
  bool closed_ = false;
  event answered_;
};

/// A state that was stored with verification, and whose key is known.
inline kv::repo_state verified_at(const std::string& did, unsigned n, char letter = 'A') {
  auto s = state_at(did, n);
  s.verified = true;
  s.seen = s.rev;
  s.begun = rev(1);
  s.key = multikey(letter);
  s.key_checked =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return s;
}

struct verify_rig : kv_rig {
  explicit verify_rig(unsigned workers = 0, stages::pipeline_limits l = {}) : kv_rig(l), pool(workers) {
    rules.verify = true;
    decode = stages::decode_on(pool, decode_by_letters);
    verify = {
        .pool = &pool, .verify = verify_by_letters, .identity = directory.port(), .look_ups = {.confirm_after = 0ms}};
    in.headers = {{"source", "firehose." + kv::encode_part("relay.example")}};
  }
  bool stored(const std::string& did, unsigned n) const {
    const auto* s = states.find(did);
    return s != nullptr && s->rev == rev(n);
  }

  fake_directory directory;
  stages::worker_pool pool;
};

}  // namespace recordkv::test
