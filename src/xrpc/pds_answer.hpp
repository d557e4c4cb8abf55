// The meaning of a PDS host's answer.
//
// Owns: which failure an answer is, the pause that it asks for, the reading of getRepoStatus and getLatestCommit.
// Does not know: requests, budgets, counters. Pure, except for the time of day that a header is compared with.
// Sources: XRPC specification (errors); lexicons com.atproto.sync.getRepo, com.atproto.sync.getRepoStatus,
// com.atproto.sync.getLatestCommit.
#pragma once

#include "recordkv/xrpc/pds_client.hpp"

#include <optional>

namespace recordkv::xrpc {

/// A failure, and the word of its counter.
struct judgement {
  std::string_view outcome;
  pds_client::failure why;
};

/// nullopt: the answer has status 200. `asked` begins the text: the host and the method.
std::optional<judgement> failure_in(const std::string& asked, const result<http::answer>& said);

/// The URL may not be asked.
judgement forbidden(const std::string& asked, std::string_view why);

/// nullopt: the body is no JSON object with a boolean `active`.
std::optional<repo_status> read_repo_status(std::string_view body);

/// nullopt: the body is no JSON object whose `cid` and `rev` have the form of one.
std::optional<latest_commit> read_latest_commit(std::string_view body);

}  // namespace recordkv::xrpc
