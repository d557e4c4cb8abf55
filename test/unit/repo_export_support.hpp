// Exports made up on the spot, and what is asked of those that are read.
//
// Owns: the blocks of an export before and after they are spoilt.
// Does not know: which faults are tested.
#pragma once

#include "recordkv/atproto/repo_export.hpp"

#include "atproto_verify_support.hpp"
#include "tree_model.hpp"

namespace recordkv::test {

inline constexpr std::string_view exported_did = "did:plc:abcdefghijklmnopqrstuvwx";
inline constexpr std::string_view exported_rev = "3kabcdefgh222";

inline std::string note(unsigned n) { return cbor(fmt::format(R"({{"$type":"com.example.t","n":{}}})", n)); }

inline std::string commit_of(std::string_view data, std::string_view author = exported_did,
                             std::string_view at = exported_rev, int version = 3) {
  return cbor(fmt::format(R"({{"did":"{}","rev":"{}","sig":{},"data":{},"prev":null,"version":{}}})", author, at,
                          bytes_json(std::string(64, 's')), link_json(atproto::cid_text(data)), version));
}

/// The blocks of an export, to be spoilt.
struct export_parts {
  export_parts() = default;
  explicit export_parts(const std::map<std::string, std::string>& content) {
    leaf_map leaves;
    for (const auto& [path, record] : content) leaves[path] = keep(record);
    auto tree = model_of(leaves);
    data = tree.root;
    commit = commit_of(data);
    for (const auto& [cid, node] : tree.blocks) nodes.push_back(cid);
    blocks.merge(tree.blocks);
  }

  std::string keep(const std::string& block) {
    auto cid = atproto::cid_of(block);
    if (blocks.emplace(cid, block).second) records.push_back(cid);
    return cid;
  }

  std::string car() const {
    std::vector<std::string> all{commit};
    for (const auto& [cid, block] : blocks) all.push_back(block);
    return car_of(all);
  }
  std::string car_without(const std::string& cid) const {
    auto torn = *this;
    REQUIRE(torn.blocks.erase(cid) == 1);
    return torn.car();
  }

  std::string data, commit;
  block_map blocks;                         // all but the commit
  std::vector<std::string> nodes, records;  // their CIDs
};

/// Records at four heights, so that the tree has nodes with and without keys.
inline std::map<std::string, std::string> some_content() {
  std::map<std::string, std::string> out;
  for (unsigned i = 0; i < 40; ++i) out[key_of_height(i % 4, i / 4)] = note(i);
  return out;
}

/// "code: word", or nothing for an export that is good.
inline std::string export_flaw(std::string bytes, atproto::car_limits limits = {}) {
  const auto read = atproto::repo_export::read(std::move(bytes), exported_did, limits);
  return read ? std::string{} : fmt::format("{}: {}", name(read.error().code), read.error().text);
}

inline std::string car_header(std::string_view root) {
  const auto header = cbor(fmt::format(R"({{"roots":[{}],"version":1}})", link_json(atproto::cid_text(root))));
  return length_prefix(header.size()) + header;
}

inline std::map<std::string, std::string> content_of(const atproto::repo_export& read) {
  std::map<std::string, std::string> out;
  for (const auto& r : read.records()) out[r.path] = r.data;
  return out;
}

/// Whether what is read makes up the tree that the commit names.
inline bool tree_agrees(const atproto::repo_export& read) {
  std::vector<atproto::tree_leaf> leaves;
  for (const auto& r : read.records()) leaves.push_back({r.path, std::string(r.cid)});
  return atproto::cid_text(atproto::tree_root(leaves)) == read.data();
}

}  // namespace recordkv::test
