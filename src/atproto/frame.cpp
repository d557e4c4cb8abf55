// Field tables of the messages.
//
// Owns: what each message must have, may have, and is refused for.
// Does not know: what the CAR inside `blocks` holds.
#include "recordkv/atproto/frame.hpp"

#include "decode.hpp"
#include "fields.hpp"
#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/syntax.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace recordkv::atproto {

namespace {

using cbor::kind;

error malformed(std::string_view word) { return {errc::malformed, std::string(word)}; }

/// A payload or a block is one map, and nothing after it.
template <class Other>
std::string_view read_map(cbor::reader r, std::span<field> table, Other other) {
  if (r.next() != kind::map) return "payload";
  if (const auto flaw = read_fields(r, table, other); !flaw.empty()) return flaw;
  return r.next() == kind::end ? std::string_view{} : "payload";
}

/// A payload is only an envelope: its keys may come in any order.
cbor::reader envelope(std::string_view bytes) { return cbor::reader(bytes, cbor::key_order::any); }

std::string_view read_seq(const cbor::reader& r, std::uint64_t& seq) {
  if (seq != 0 || r.what() != kind::integer || r.integer() <= 0) return "seq";
  seq = static_cast<std::uint64_t>(r.integer());
  return {};
}

std::string_view check_did(std::string_view did) {
  if (!is_did(did)) return "bad_did";
  return did.size() <= max_did ? std::string_view{} : "did_too_long";
}

std::string_view read_op(cbor::reader& r, op_view& op) {
  std::string_view what;
  std::array<field, 4> table{{
      {"cid", kind::link, presence::optional, &op.cid},  // null in a delete, where some hosts omit it
      {"path", kind::text, presence::required, &op.path},
      {"prev", kind::link, presence::optional, &op.prev},
      {"action", kind::text, presence::required, &what},
  }};
  if (r.next() != kind::map) return "ops";
  const auto flaw = read_fields(r, table, [](std::string_view, cbor::reader& rest) { return skip_value(rest); });
  if (!flaw.empty()) return flaw;
  const auto known = action_named(what);
  if (!known) return "action";
  op.what = *known;
  return op.cid.empty() == (op.what == action::remove) ? std::string_view{} : "op_cid";
}

std::string_view read_ops(cbor::reader& r, std::vector<op_view>& ops) {
  if (r.what() != kind::array || r.count() > max_ops) return "ops";
  ops.resize(r.count());
  for (auto& op : ops) {
    if (const auto flaw = read_op(r, op); !flaw.empty()) return flaw;
  }
  if (ops.size() < 2) return {};
  std::vector<std::string_view> paths;
  paths.reserve(ops.size());
  for (const auto& op : ops) paths.push_back(op.path);
  std::ranges::sort(paths);
  return std::ranges::adjacent_find(paths) == paths.end() ? std::string_view{} : "duplicate_path";
}

}  // namespace

result<frame_parts> split_frame(std::string_view bytes) {
  frame_parts parts;
  auto r = envelope(bytes);
  if (r.next() != kind::map) return malformed("header");
  bool has_op = false;
  std::array<field, 1> table{{{"t", kind::text, presence::optional, &parts.type}}};
  const auto flaw = read_fields(r, table, [&](std::string_view key, cbor::reader& value) -> std::string_view {
    if (key != "op") return skip_value(value);
    if (std::exchange(has_op, true) || value.what() != kind::integer) return "header";
    parts.op = value.integer();
    return {};
  });
  if (!flaw.empty() || !has_op) return malformed("header");
  parts.payload = bytes.substr(r.position());
  if (parts.payload.empty()) return malformed("no_payload");
  return parts;
}

event_kind kind_of(std::string_view type) noexcept {
  if (type == "#commit") return event_kind::commit;
  if (type == "#sync") return event_kind::sync;
  if (type == "#identity") return event_kind::identity;
  if (type == "#account") return event_kind::account;
  if (type == "#info") return event_kind::info;
  return event_kind::unknown;
}

result<commit_view> read_commit(std::string_view payload) {
  commit_view c;
  bool has_ops = false;
  std::array<field, 7> table{{
      {"rev", kind::text, presence::required, &c.rev},
      {"repo", kind::text, presence::required, &c.repo},
      {"time", kind::text, presence::optional, &c.time},
      {"since", kind::text, presence::optional, &c.since},  // not used, and some hosts omit it
      {"blocks", kind::bytes, presence::required, &c.blocks},
      {"commit", kind::link, presence::required, &c.commit},
      {"prevData", kind::link, presence::optional, &c.prev_data},
  }};
  const auto flaw = read_map(envelope(payload), table, [&](std::string_view key, cbor::reader& r) -> std::string_view {
    if (key == "seq") return read_seq(r, c.seq);
    if (key != "ops") return skip_value(r);
    if (std::exchange(has_ops, true)) return "ops";
    return read_ops(r, c.ops);
  });
  if (!flaw.empty()) return malformed(flaw);
  if (c.seq == 0) return malformed("seq");
  if (!has_ops) return malformed("ops");
  if (const auto word = check_did(c.repo); !word.empty()) return malformed(word);
  if (!is_tid(c.rev)) return malformed("rev");
  if (!c.since.empty() && !is_tid(c.since)) return malformed("since");
  if (c.blocks.empty() || c.blocks.size() > max_blocks) return malformed("blocks");
  return c;
}

result<notice_view> read_notice(event_kind what, std::string_view payload) {
  notice_view n;
  bool has_active = false, has_status = false;
  const bool sync = what == event_kind::sync;
  std::array<field, 4> table{{
      {"did", kind::text, presence::required, &n.did},
      {"time", kind::text, presence::optional, &n.time},
      {"rev", kind::text, presence::required, &n.rev},
      {"blocks", kind::bytes, presence::required, &n.blocks},
  }};
  // The last two belong to #sync; elsewhere they are unknown fields, whatever their type.
  const auto mine = std::span(table).first(sync ? 4 : 2);
  const auto flaw = read_map(envelope(payload), mine, [&](std::string_view key, cbor::reader& r) -> std::string_view {
    if (key == "seq") return read_seq(r, n.seq);
    if (what != event_kind::account) return skip_value(r);
    if (key == "status" && std::exchange(has_status, true)) return "status";
    if (key == "status" && r.what() == kind::text) n.status = r.view();
    if (key != "active") return skip_value(r);
    if (has_active || r.what() != kind::boolean) return "active";
    n.active = r.boolean();
    has_active = true;
    return {};
  });
  if (!flaw.empty()) return malformed(flaw);
  if (n.seq == 0) return malformed("seq");
  if (what == event_kind::account && !has_active) return malformed("active");
  if (const auto word = check_did(n.did); !word.empty()) return malformed(word);
  if (sync && !is_tid(n.rev)) return malformed("rev");
  if (sync && (n.blocks.empty() || n.blocks.size() > max_blocks)) return malformed("blocks");
  return n;
}

result<signed_commit> read_signed_commit(std::string_view block) {
  signed_commit c;
  std::int64_t version = 0;
  std::array<field, 5> table{{
      {"did", kind::text, presence::required, &c.did},
      {"rev", kind::text, presence::required, &c.rev},
      {"sig", kind::bytes, presence::required, &c.sig},
      {"data", kind::link, presence::required, &c.data},
      {"prev", kind::link, presence::required_or_null, &c.prev},
  }};
  const auto flaw =
      read_map(cbor::reader(block), table, [&](std::string_view key, cbor::reader& r) -> std::string_view {
        if (key != "version" || r.what() != kind::integer) return "commit_fields";
        version = r.integer();
        return {};
      });
  if (!flaw.empty() || version != 3 || c.sig.size() != 64) return malformed("commit_fields");
  return c;
}

}  // namespace recordkv::atproto
