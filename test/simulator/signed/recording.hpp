// Recordings of the stream: made at full speed, served later at any rate.
//
// Owns: the file of messages (32-bit little-endian length, then the bytes) and the file of accounts beside it.
// Does not know: sockets; what messages say, but for their `seq`.
#pragma once

#include "answers.hpp"
#include "network.hpp"
#include "outage.hpp"
#include "signed_feed.hpp"

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <fstream>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace recordkv::sim {

class recorder {
 public:
  explicit recorder(const std::string& path);

  void append(std::string_view message);
  std::uint64_t messages() const noexcept { return messages_; }
  /// Writes PATH.accounts; an error if anything could not be written.
  result<> finish(network& n);

 private:
  std::string path_;
  std::ofstream file_;
  std::uint64_t messages_ = 0;
};

/// The `seq` of a message, 0 if it has none.
std::uint64_t seq_of(std::string_view message) noexcept;

/// Serves a recording: its messages as a maker for the feed, its accounts as a directory.
class player final : public hosts {
 public:
  player(signed_feed& f, std::vector<std::string> pds, std::function<void()> cut,
         std::function<std::uint64_t()> clients);

  result<> open(const std::string& path);
  /// Gives the next message to the feed; false at the end of the file.
  bool next();
  answer respond(const place& at, const request& r) override;

 private:
  struct known {
    std::uint32_t number = 0;
    std::string handle;
    std::vector<std::pair<std::uint64_t, std::string>> keys;  // from which seq on
  };
  result<> read_accounts(const std::string& path);
  answer document(std::string_view did);
  answer control(const request& r);

  signed_feed& feed_;
  std::vector<std::string> pds_;
  std::function<void()> cut_;
  std::function<std::uint64_t()> clients_;
  std::ifstream file_;
  std::string message_;
  std::unordered_map<std::string, known> accounts_;
  fault_plan no_plan_;
  fault_log log_;
  outage plc_;
  std::uint64_t plc_requests_ = 0;
};

}  // namespace recordkv::sim
