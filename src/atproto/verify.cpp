#include "recordkv/atproto/verify.hpp"

#include "decode.hpp"
#include "proof.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/atproto/tree.hpp"

#include <array>
#include <cstddef>

namespace recordkv::atproto {

namespace {

// A commit block is read strictly and has exactly six fields, so its bytes are known up to the signature's values:
// a6 "did" … "rev" … "sig" 58 40 … "data" … "prev" … "version" 03. What is signed has five fields: a5, and no "sig".
constexpr std::string_view five_fields = "\xa5";
constexpr std::size_t sig_head = 4 + 2;  // the key "sig" and the head of 64 bytes

digest digest_without_signature(std::string_view block, std::string_view sig) {
  const auto at = static_cast<std::size_t>(sig.data() - block.data());
  std::string bytes(five_fields);
  bytes.reserve(block.size());
  bytes += block.substr(1, at - sig_head - 1);
  bytes += block.substr(at + sig.size());
  return sha256(bytes);
}

/// A host from before Sync 1.1 does not name the root before the commit. Then the ops alone are judged.
std::string_view flaw_of(const ops_proof& tree, std::string_view prev_data) {
  if (!tree.ops_flaw.empty() || prev_data.empty()) return tree.ops_flaw;
  if (!tree.before_flaw.empty()) return tree.before_flaw;
  return tree.before == prev_data ? std::string_view{} : "prev_data";
}

}  // namespace

event_proof signature_proof(std::string_view block, const signed_commit& commit) {
  event_proof proof;
  proof.signed_digest = digest_without_signature(block, commit.sig);
  proof.signature = commit.sig;
  return proof;
}

void add_tree_proof(event_proof& proof, const commit_view& message, const car& blocks, std::string_view data) {
  // A key that is no path belongs to one bad record. It does not make its account's tree unreadable for ever.
  const auto tree = prove_ops(blocks, data, message.ops, tree_keys::any);
  proof.flaw = flaw_of(tree, message.prev_data);
  proof.from_empty = tree.before == empty_tree();
  proof.has_prev_data = !message.prev_data.empty();
}

result<repo_event> decode_provable(std::string_view payload) { return decode_payload(payload, with_proof::yes); }

std::string_view name(verdict v) noexcept {
  switch (v) {
    case verdict::proven: return "proven";
    case verdict::unproven: return "unproven";
    case verdict::bad_signature: return "bad_signature";
    case verdict::discontinuity: return "discontinuity";
  }
  return "unknown";
}

verdict verify(const repo_event& e, const public_key& key) {
  if (!e.proof) return verdict::unproven;
  if (!key.verifies(e.proof->signed_digest, e.proof->signature)) return verdict::bad_signature;
  return e.proof->flaw.empty() ? verdict::proven : verdict::discontinuity;
}

bool from_the_future(std::string_view rev, std::chrono::system_clock::time_point now) noexcept {
  return std::chrono::microseconds(tid_micros(rev)) > now.time_since_epoch() + clock_tolerance;
}

}  // namespace recordkv::atproto
