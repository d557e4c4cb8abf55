// What has been applied of one account: the value of its key in bucket `repo`.
//
// Owns: the JSON form and its key.
// Does not know: the writer (only the KV stage writes it, by compare-and-set: X17).
#pragma once

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

/// The number of the last #account of one source.
struct account_number {
  std::string source;  ///< its key in bucket `cursor`
  std::string epoch;
  std::uint64_t seq = 0;
  bool operator==(const account_number&) const = default;
};

/// The local status. What the account's host says is upstream_status.
///
///   synchronised    the store has the account's records as of `rev`.
///   desynchronised  records may be missing or stale.
///   inactive        the account's PDS has confirmed that it is inactive; the store has its records (on_inactive =
///   keep)
///                   or none (remove).
///   removing        the account was deleted; its keys are being removed, or its PDS is asked first (X15).
///   deleted         all its keys are gone.
///   removed         a person has removed it (`repo remove`): its keys are gone, and its events are ignored.
struct repo_state {
  std::string did;
  std::string rev;   ///< of the newest commit whose records are durable in the store
  std::string data;  ///< its tree root; empty when the source carries no proofs
  std::string status = "synchronised";
  std::string upstream_status;  ///< of the last #account, empty while active
  bool verified = false;
  bool complete = false;  ///< fetched in full at least once
  std::string filter;     ///< hash of the collections it was stored under
  std::uint64_t at = 0;   ///< the sequence in the store up to which all its records are stored (X20)
  std::vector<std::string> collections;
  std::string seen;                  ///< the newest verified rev; may be newer than `rev` while desynchronised (X12)
  std::string key;                   ///< the account's signing key, a multikey; empty: not known
  std::string pds;                   ///< its PDS, "https://host"; empty: not known
  std::string handle;                ///< as its DID document says, unchecked; empty: not known
  std::int64_t key_checked = 0;      ///< when the key was last looked up, in seconds since 1970; 0: never
  std::string begun;                 ///< the rev with which its records begin; empty: not known
  std::string error;                 ///< why it is desynchronised, for a person: the newest reason
  std::vector<std::string> reasons;  ///< the same for programs: each word once, in order; 8 at most

  std::vector<account_number> account_seq;  ///< X11: an #account at or below it is a repetition; one for each source
  bool followed = false;                    ///< `repo add`, or a list: it is to be complete
  // Of the repair of a desynchronised account, or of one that is to be removed. Times are seconds since 1970; 0: never.
  unsigned tries = 0;               ///< that failed since the last success
  std::int64_t next_try = 0;        ///< not before
  std::int64_t resynced = 0;        ///< when its repo was last fetched with success
  std::int64_t removing_since = 0;  ///< when the deletion event came (X15)

  bool stale() const noexcept { return status == "desynchronised"; }
  bool operator==(const repo_state&) const = default;
  /// `reason`: one word of a closed set. `why`: a line for a person.
  void desynchronise(std::string_view reason, std::string why);
};

/// "{partition}.{enc(did)}"
std::string repo_key(std::string_view did, unsigned partitions);
/// enc(did) of such a key. Empty: the key belongs to no account, as `meta`, `at.{p}` and `want.{enc(did)}`.
std::string_view account_of_repo_key(std::string_view key) noexcept;
std::string to_json(const repo_state& s);
/// errc::malformed when it is not such a JSON object. Unknown fields are ignored.
result<repo_state> parse_repo_state(std::string_view json);

}  // namespace recordkv::kv
