// What a person wants of an account: keys `want.{enc(did)}` of bucket `repo` (docs/invariants.md X17).
//
// Commands write such keys beside a running system. The stage kv that owns the account's partition acts on them, and
// removes each once its effect is durable.
//
// Owns: the key and the JSON form of a wish, and writing it.
// Does not know: what the stage does (stages/kv/repair/wish_watch.hpp).
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/kv/bucket.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::kv {

enum class wish_kind {
  add,     ///< follow the account in full: fetch its repo, and keep it complete
  remove,  ///< remove its keys, and ignore its events until it is added again
  resync,  ///< fetch its repo, and make the store equal to it
};
std::string_view name(wish_kind k) noexcept;  ///< "add", "remove", "resync"

struct wish {
  std::string did;
  wish_kind what = wish_kind::resync;
  std::string at;  ///< when it was made, RFC 3339 UTC
};

/// "want.{enc(did)}"
std::string wish_key(std::string_view did);
/// enc(did) of such a key; empty: it is no such key.
std::string_view account_of_wish_key(std::string_view key) noexcept;
std::string to_json(const wish& w);
/// errc::malformed: not such a JSON object. Unknown members are ignored.
result<wish> parse_wish(std::string_view json);

/// Writes the wish; a newer one replaces an older one of the account. Returns its sequence in bucket `repo`.
task<result<std::uint64_t>> make_wish(bucket& repo, wish w);
/// Removes the key, unless a newer wish has replaced the one with this sequence. Success in both cases.
task<result<void>> remove_wish(bucket& repo, std::string did, std::uint64_t seq);

}  // namespace recordkv::kv
