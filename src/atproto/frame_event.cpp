// From a frame's views to a repo_event.
//
// Owns: the checks between the parts: blocks against CIDs, the commit block against the message, records against ops.
// Does not know: what makes a proof (proof.hpp), keys, stored state.
#include "decode.hpp"
#include "proof.hpp"
#include "recordkv/atproto/car.hpp"
#include "recordkv/atproto/cid.hpp"
#include "recordkv/atproto/frame.hpp"
#include "recordkv/atproto/json.hpp"
#include "recordkv/core/foreign_text.hpp"

#include <algorithm>

namespace recordkv::atproto {

namespace {

record_change read_change(const op_view& op, const car& blocks) {
  record_change change;
  change.what = op.what;
  if (!op.cid.empty()) change.cid = cid_text(op.cid);
  if (!op.prev.empty()) change.prev = cid_text(op.prev);
  const auto slash = std::min(op.path.find('/'), op.path.size());
  const auto rkey = op.path.substr(std::min(slash + 1, op.path.size()));
  if (!take_path(change, op.path.substr(0, slash), rkey)) return change;
  if (op.what == action::remove) return change;
  const auto block = blocks.find(op.cid);
  if (block.data() == nullptr) {
    change.flaw = record_flaw::missing_block;
    return change;
  }
  auto json = json_of(block);
  if (json)
    change.json = std::move(*json);
  else
    change.flaw = flaw_for(json.error());
  return change;
}

/// A CAR and the commit block that is its root.
struct signed_blocks {
  car blocks;
  std::string_view head;  ///< the bytes of the commit block
  signed_commit commit;   ///< the same, read
};

/// Reads the CAR of a message and compares its commit block with what the message says. `root` is its CID, unless the
/// message does not name it. On success the event has its commit and data.
result<signed_blocks> read_blocks(std::string_view bytes, std::string_view root, repo_event& out) {
  auto blocks = car::read(bytes);
  if (!blocks) return error{errc::malformed, blocks.error().text};
  if (!root.empty() && blocks->root() != root) return fail(errc::malformed, "root_mismatch");
  const auto block = blocks->find(blocks->root());
  if (block.data() == nullptr) return fail(errc::malformed, "no_commit_block");
  const auto head = read_signed_commit(block);
  if (!head) return head.error();
  if (head->did != out.did) return fail(errc::malformed, "did_mismatch");
  if (head->rev != out.rev) return fail(errc::malformed, "rev_mismatch");
  out.commit = cid_text(blocks->root());
  out.data = cid_text(head->data);
  return signed_blocks{std::move(*blocks), block, *head};
}

repo_event event_of(const commit_view& message) {
  repo_event out;
  out.kind = event_kind::commit;
  out.seq = message.seq;
  out.did = message.repo;
  out.rev = message.rev;
  out.since = message.since;
  out.time = printable(message.time, 64);
  if (!message.prev_data.empty()) out.prev_data = cid_text(message.prev_data);
  return out;
}

result<repo_event> decode_commit(std::string_view payload, with_proof want) {
  const auto message = read_commit(payload);
  if (!message) return message.error();
  auto out = event_of(*message);
  const auto content = read_blocks(message->blocks, message->commit, out);
  if (!content) return content.error();
  out.changes.reserve(message->ops.size());
  for (const auto& op : message->ops) out.changes.push_back(read_change(op, content->blocks));
  if (want == with_proof::yes) {
    out.proof = signature_proof(content->head, content->commit);
    add_tree_proof(*out.proof, *message, content->blocks, content->commit.data);
  }
  return out;
}

result<repo_event> decode_notice(event_kind kind, std::string_view payload, with_proof want) {
  const auto message = read_notice(kind, payload);
  if (!message) return message.error();
  repo_event out;
  out.kind = kind;
  out.seq = message->seq;
  out.did = message->did;
  out.rev = message->rev;
  out.time = printable(message->time, 64);
  out.active = message->active;
  out.status = printable(message->status, 64);
  if (kind != event_kind::sync) return out;
  const auto content = read_blocks(message->blocks, {}, out);
  if (!content) return content.error();
  if (want == with_proof::yes) out.proof = signature_proof(content->head, content->commit);
  return out;
}

}  // namespace

result<repo_event> decode_frame(std::string_view bytes, with_proof want) {
  const auto parts = split_frame(bytes);
  if (!parts) return parts.error();
  const auto kind = parts->op == 1 ? kind_of(parts->type) : event_kind::unknown;
  switch (kind) {
    case event_kind::commit: return decode_commit(parts->payload, want);
    case event_kind::sync:
    case event_kind::identity:
    case event_kind::account: return decode_notice(kind, parts->payload, want);
    default: break;
  }
  const auto seen = summarise_frame(bytes);
  if (!seen) return seen.error();
  repo_event out;
  out.kind = seen->kind;
  out.seq = seen->seq;
  return out;
}

}  // namespace recordkv::atproto
