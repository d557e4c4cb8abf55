// The messages of com.atproto.sync.subscribeRepos, as views into a frame.
//
// Owns: the fields of each message and of the signed commit, their types and limits, and the words that name what is
// wrong with them.
// Does not know: whether the parts agree with each other (event.hpp does), trees, signatures, stored state.
// Sources: the lexicon, event-stream and repository specifications.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/core/result.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace recordkv::atproto {

inline constexpr std::size_t max_blocks = 2'000'000;  ///< bytes of a message's CAR
inline constexpr std::size_t max_ops = 200;           ///< in one commit
/// Bytes of a DID that we store. Escaped, it takes up to three times as much of NATS's control line of 4096 bytes.
inline constexpr std::size_t max_did = 512;

struct frame_parts {
  std::int64_t op = 0;
  std::string_view type;     ///< "#commit"; empty when absent
  std::string_view payload;  ///< not read yet
};

/// Reads the header. Keys of the header, the payload and its ops may come in any order, each once. Some hosts write
/// them so, and none of this is signed. Blocks have one form only. errc::malformed: "header", or "no_payload".
result<frame_parts> split_frame(std::string_view bytes);

/// The kind that a header's type stands for; event_kind::unknown for others.
event_kind kind_of(std::string_view type) noexcept;

struct op_view {
  action what = action::create;
  std::string_view path;  ///< as sent, syntax unchecked
  std::string_view cid;   ///< binary; empty exactly for remove
  std::string_view prev;  ///< binary; empty when absent
};

struct commit_view {
  std::uint64_t seq = 0;
  std::string_view repo;       ///< a DID of at most max_did
  std::string_view commit;     ///< binary CID
  std::string_view rev;        ///< a TID
  std::string_view since;      ///< a TID; empty when null or absent
  std::string_view blocks;     ///< a CAR, 1 to max_blocks bytes
  std::string_view prev_data;  ///< binary CID; empty when absent
  std::string_view time;       ///< as sent
  std::vector<op_view> ops;    ///< no path twice
};

/// errc::malformed with a short word: the field's name, "did_too_long", "duplicate_path", "op_cid", …
result<commit_view> read_commit(std::string_view payload);

/// #sync, #identity and #account: views of what they have in common and of what each may have.
struct notice_view {
  std::uint64_t seq = 0;
  std::string_view did;
  std::string_view time;
  std::string_view rev;     ///< sync
  std::string_view blocks;  ///< sync
  bool active = true;       ///< account
  std::string_view status;  ///< account, as sent; empty when absent
};
result<notice_view> read_notice(event_kind kind, std::string_view payload);

/// The block that an account signs, version 3. Unknown fields are refused, because a check of the signature rebuilds
/// the block from the six known fields.
struct signed_commit {
  std::string_view did;
  std::string_view rev;
  std::string_view data;  ///< binary CID of the tree's root
  std::string_view prev;  ///< binary CID; empty when null
  std::string_view sig;   ///< 64 bytes
};
/// errc::malformed: "commit_fields".
result<signed_commit> read_signed_commit(std::string_view block);

}  // namespace recordkv::atproto
