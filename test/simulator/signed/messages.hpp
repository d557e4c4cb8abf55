// Messages of com.atproto.sync.subscribeRepos, written.
//
// Owns: the header and payload of each kind, and the deviations that servers are known for.
// Does not know: WebSockets, which message is true.
#pragma once

#include "repo.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::sim {

struct commit_message {
  std::string_view did;
  std::uint64_t rev = 0;
  std::uint64_t since = 0;  ///< 0: null
  std::uint64_t time_us = 0;
  sim::cid commit;
  std::string blocks;
  std::vector<repo_op> ops;
  std::optional<sim::cid> prev_data;
  bool foreign = false;  ///< as servers write it that are not Bluesky's
};

std::string encode(const commit_message& m, std::uint64_t seq);
std::string sync_message(std::string_view did, const repo& r, std::uint64_t time_us, std::uint64_t seq);
std::string identity_message(std::string_view did, std::string_view handle, std::uint64_t time_us, std::uint64_t seq);
/// `status` empty: active.
std::string account_message(std::string_view did, std::string_view status, std::uint64_t time_us, std::uint64_t seq);
std::string info_message(std::string_view name);
std::string error_message(std::string_view name);

}  // namespace recordkv::sim
