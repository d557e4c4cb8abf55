// What the tests of repairs share: the pipeline with a PDS that is fake, repos that are real, and a store that the
// tests can read.
//
// Owns: what the PDS answers, and holding its answers back; the store as the puts made it; the clock.
// Does not know: requests (stages/pds_client) and NATS (nats/account_keys).
#pragma once

#include "../support/signed_export.hpp"
#include "kv_verify_rig.hpp"

#include <deque>

namespace recordkv::test {

using answer_of_repo = xrpc::pds_client::answer<xrpc::fetched_repo>;
using answer_of_status = xrpc::pds_client::answer<xrpc::repo_status>;

inline xrpc::pds_client::failure failure(errc code, std::string_view word, std::chrono::seconds stay_away = {}) {
  xrpc::pds_client::failure f{};
  f.code = code;
  f.word = word;
  f.text = std::string("pds.example: ") + std::string(word);
  f.stay_away = stay_away;
  return f;
}

class fake_pds {
 public:
  std::map<std::string, made_export> repos;             ///< without one: repo_not_found
  std::map<std::string, xrpc::repo_status> statuses;    ///< without one: by `repos`
  std::deque<xrpc::pds_client::failure> next_failures;  ///< of any request, before all else
  std::vector<std::string> asked;                       ///< "repo DID", "status DID"
  xrpc::byte_budget bytes{std::size_t{64} << 20};

  void hold() noexcept { held_ = true; }
  void release() {
    held_ = false;
    released_.notify();
  }
  void close() {
    closed_ = true;
    released_.notify();
  }

  task<answer_of_repo> repo(std::string did) {
    asked.push_back("repo " + did);
    const auto at_first = repos;  // as the repo is when the request comes
    while (held_ && !closed_) co_await released_.wait();
    if (closed_) co_return failure(errc::closed, "closed");
    if (auto f = next_failure()) co_return *f;
    const auto found = at_first.find(did);
    if (found == at_first.end()) co_return failure(errc::not_found, "repo_not_found");
    auto car = found->second.car();
    bytes.take(car.size());
    co_return xrpc::fetched_repo(std::move(car), bytes);
  }
  task<answer_of_status> status(std::string did) {
    asked.push_back("status " + did);
    while (held_ && !closed_) co_await released_.wait();
    if (closed_) co_return failure(errc::closed, "closed");
    if (auto f = next_failure()) co_return *f;
    if (const auto s = statuses.find(did); s != statuses.end()) co_return s->second;
    if (!repos.contains(did)) co_return failure(errc::not_found, "repo_not_found");
    co_return xrpc::repo_status{};
  }

 private:
  std::optional<xrpc::pds_client::failure> next_failure() {
    if (next_failures.empty()) return std::nullopt;
    auto f = next_failures.front();
    next_failures.pop_front();
    return f;
  }

  bool held_ = false, closed_ = false;
  event released_;
};

struct repair_rig : verify_rig {
  explicit repair_rig(unsigned workers = 0) : verify_rig(workers) {
    rules.repairs = true;
    rules.now = [this] { return now; };
    // Keys are those of signing_number: key n signs frames of the n-th letter.
    verify.verify = [](const atproto::repo_event& e, const atproto::public_key& key) {
      if (!e.proof) return verdict::unproven;
      const auto n = static_cast<unsigned char>(e.proof->signature[0] - 'A' + 1);
      if (key.multikey() != signing_number(n).multikey()) return verdict::bad_signature;
      return e.proof->flaw.empty() ? verdict::proven : verdict::discontinuity;
    };
    for (const auto& did : {alice, bob, carol}) directory.says.emplace(did, identity_of(1));
    repair.rules.every_account = true;
    repair.rules.now = [this] { return now; };
    repair.rules.first_retry = 60s;
    repair.port = {
        .get_repo = [this](std::string, std::string did) { return pds.repo(std::move(did)); },
        .get_status = [this](std::string, std::string did) { return pds.status(std::move(did)); },
        .keys = [this](std::string did, std::vector<std::string>, std::size_t) { return keys(std::move(did)); },
        .stored = [this](auto show) { return stored(std::move(show)); },
        .close = [this] { pds.close(); }};
  }

  static identity::account_identity identity_of(unsigned char key) {
    return {.key = signing_number(key).multikey(), .pds = "https://pds.example", .handle = "name.example"};
  }
  kv::repo_state stored_state(const std::string& did, unsigned n) const {
    auto s = verified_at(did, n);
    s.key = signing_number(1).multikey();
    s.pds = "https://pds.example";
    s.key_checked = seconds();
    return s;
  }
  std::int64_t seconds() const {
    return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  }

  /// The store's keys of the account, each with its CID, as the puts made it.
  std::map<std::string, std::string> store(const std::string& did) const {
    std::map<std::string, std::string> out;
    for (const auto& m : out_box()) {
      const auto key = kv::record_key::parse(m.subject.substr(std::string_view("$KV.record.").size()));
      if (!key || key->did != did) continue;
      const auto path = key->collection + "/" + key->rkey;
      if (m.header_value("KV-Operation") == "DEL")
        out.erase(path);
      else
        out[path] = m.header_value("cid");
    }
    return out;
  }
  static std::map<std::string, std::string> cids(const made_export& e) {
    std::map<std::string, std::string> out;
    for (const auto& [path, json] : e.records) out[path] = e.cid(path);
    return out;
  }
  const kv::repo_state& state(const std::string& did) const {
    static const kv::repo_state none;
    const auto* s = states.find(did);
    return s ? *s : none;
  }
  bool becomes_status(const std::string& did, std::string_view status) {
    return waits_for([&] { return state(did).status == status; });
  }
  /// The time goes on, and repairs look at it.
  void later(std::chrono::seconds by) {
    now += by;
    apply->consider_stored("did:plc:nobodynobodynobodynobody", seconds());
  }

  fake_pds pds;
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
  std::size_t key_reads = 0;
  std::vector<std::string> in_bucket;  ///< accounts whose stored states ask for a repair
  std::size_t state_reads = 0, failing_reads = 0;
  std::optional<event> key_gate;  ///< while it is there, readings of keys wait
  void open_keys() {
    gate_open_ = true;
    key_gate->notify();
  }

 private:
  bool gate_open_ = false;
  const std::vector<fake_outbox::sent_message>& out_box() const { return out.sent; }
  task<result<void>> stored(std::function<void(const std::string& did, std::int64_t next_try)> show) {
    if (++state_reads <= failing_reads) co_return fail(errc::timed_out, "no answer");
    for (const auto& did : in_bucket)
      if (states.find(did)->stale()) show(did, 0);
    co_return result<void>{};
  }
  task<result<std::vector<kv::stored_key>>> keys(std::string did) {
    ++key_reads;
    while (key_gate && !gate_open_) co_await key_gate->wait();
    std::vector<kv::stored_key> found;
    for (const auto& [path, cid] : store(did)) {
      const auto slash = path.find('/');
      found.push_back({path.substr(0, slash), path.substr(slash + 1), cid, 1});
    }
    co_return found;
  }
};

/// A repo with these likes, each a record that holds its own name.
inline made_export repo_of(const std::string& did, unsigned n, const words& rkeys) {
  made_export e{.did = did, .rev = rev(n)};
  for (const auto& r : rkeys) e.records[like + "/" + r] = fmt::format(R"({{"n":"{}"}})", r);
  return e;
}

}  // namespace recordkv::test
