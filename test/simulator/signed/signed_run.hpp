// A run of the signed network: what the command line asked for, from the ports to the files at the end.
//
// Owns: the order of start and end.
// Does not know: how the options are spelled.
#pragma once

#include "../feed.hpp"
#include "accounts.hpp"

#include <cstdint>
#include <string>

namespace recordkv::sim {

struct signed_options {
  parameters rules;
  sim::pace pace;
  std::uint16_t port = 0;
  unsigned partitions = 16;
  signed_parameters network;
  std::uint32_t pds_hosts = 1;
  std::uint32_t web_accounts = 0;
  std::string faults;
  std::uint64_t disconnect_after = 0;
  std::uint32_t delay_ms = 0;  ///< before each answer over HTTP
  bool keep_exports = false;
  std::string truth_file;
  std::string accounts_file;
  std::string record_file;
  std::string replay_file;
  std::size_t print = 0;  ///< popular posts to name at the start
  bool exit_when_served = false;
};

/// Until a signal ends it; the exit code.
int run_signed(signed_options o);

}  // namespace recordkv::sim
