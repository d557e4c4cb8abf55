// The accounts of the signed network: names, keys, hosts, repos.
//
// Owns: each account, its DID document, and the records that a settled account had before the stream.
// Does not know: the stream, and why anything changes.
#pragma once

#include "../world.hpp"
#include "repo.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace recordkv::sim {

struct signed_parameters {
  std::uint32_t settled = 0;          ///< percent of accounts whose repo is older than the stream
  std::uint32_t records = 20;         ///< of such an account at the start
  std::uint32_t likes = 0;            ///< of all accounts together, beside `records`; a settled one has its share
  std::uint32_t alike = 0;            ///< such accounts start with one of so many sets of records; 0: each with its own
  std::uint32_t p256 = 20;            ///< percent of accounts
  std::vector<std::string> pds;       ///< URLs of the hosts; at least one
  std::vector<std::string> web_dids;  ///< of accounts 0 …
};

enum class account_status : std::uint8_t { active, deactivated, takendown, suspended, deleted };
std::string_view name(account_status s) noexcept;

struct account {
  std::uint32_t number = 0;
  std::string did;
  sim::curve curve = sim::curve::k256;
  account_status status = account_status::active;
  bool bridged = false;
  bool exists = false;             ///< it has a repo, whether or not the stream has told of it
  bool heard = false;              ///< the stream has carried a good commit of it
  bool lost = false;               ///< a mirror must have found it desynchronised, or will
  bool disowned = false;           ///< the relay calls it deleted, and its PDS does not
  std::uint32_t moves = 0;         ///< how often it went to the next PDS
  std::uint32_t handles = 0;       ///< how often the handle changed
  std::uint32_t generation = 0;    ///< of its key
  std::uint32_t late_answers = 0;  ///< so often the directory still gives the key before
  int away = 0;                    ///< steps until it is active again; −1: until it is told to
  std::uint32_t faults = 0;        ///< a bit per kind
  sim::repo repo;
  sim::cid data_when_left;  ///< deactivated: what the mirror may have
  struct removal {
    std::uint64_t rev, time_us;
  };
  std::map<std::string, removal> removed;                            ///< paths that were in the stream and are gone
  std::vector<std::pair<std::uint64_t, std::uint32_t>> generations;  ///< from which seq on
};

class accounts {
 public:
  accounts(const world& w, signed_parameters p);

  std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(all_.size()); }
  /// A settled account gets its repo on the first call.
  account& at(std::uint32_t number);
  /// As it is; a settled account that nothing has touched has no repo yet.
  const account& peek(std::uint32_t number) const { return all_[number]; }
  account* find(std::string_view did);
  account* with_handle(std::string_view handle);

  signing_key key_of(const account& a) const { return key_of(a, a.generation); }
  signing_key key_of(const account& a, std::uint32_t generation) const;
  signing_key forgers_key(const account& a) const;
  commit_author author_of(const account& a) const;
  std::string handle_of(const account& a) const;
  std::size_t pds_of(const account& a) const noexcept { return pds_after(a, a.moves); }
  const std::string& pds_url(const account& a) const noexcept { return rules_.pds[pds_of(a)]; }
  /// What the host says of the account: the one that it left calls it deactivated. None: it was never there.
  std::optional<account_status> status_at(std::size_t pds, const account& a) const noexcept;
  const signed_parameters& rules() const noexcept { return rules_; }

  /// The DID document as its host gives it now.
  std::string document(account& a);

 private:
  std::size_t pds_after(const account& a, std::uint32_t moves) const noexcept {
    return (a.number + moves) % rules_.pds.size();
  }
  void settle(account& a);
  tree early_tree(const account& a, std::uint64_t rev);
  std::vector<change> early_records(const account& a, std::uint64_t rev);
  std::uint32_t share_of_likes(const account& a) const noexcept;

  std::uint64_t seed_;
  std::uint64_t base_us_;
  signed_parameters rules_;
  std::vector<account> all_;
  std::unordered_map<std::string_view, std::uint32_t> by_did_;
  std::vector<tree> shared_trees_;  // rules_.alike of them, each empty until it is wanted
};

/// As a DID document, for anything that knows the three.
std::string did_document(std::string_view did, std::string_view handle, std::string_view multikey,
                         std::string_view pds);

}  // namespace recordkv::sim
