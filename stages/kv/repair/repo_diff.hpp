// What separates the store from a repo: which records to put, and which keys to delete.
//
// Owns: the comparison of an export's records with an account's keys.
// Does not know: whether a record can be stored, NATS. Pure.
#pragma once

#include "recordkv/atproto/repo_export.hpp"
#include "recordkv/kv/account_keys.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace recordkv::stages {

struct repo_diff {
  struct put {
    std::size_t record;  ///< index into repo_export::records()
    std::string collection, rkey;
    std::string cid;        ///< as text
    bool replaces = false;  ///< the key has another value
  };
  std::vector<put> puts;
  std::vector<kv::stored_key> deletes;  ///< keys whose records the repo does not have, or which are unwanted
  std::size_t unchanged = 0;
};

/// `wanted`: whether records of a collection belong into the store. `newer`: paths in which the store is newer than the
/// export: nothing is done there. `keys` ascend by "{collection}/{rkey}", as the export's paths do. A key without a CID
/// was written by another program, and counts as different.
repo_diff compare(const std::vector<atproto::exported_record>& records, const std::vector<kv::stored_key>& keys,
                  const std::function<bool(const std::string& collection)>& wanted,
                  const std::unordered_set<std::string>& newer);

}  // namespace recordkv::stages
