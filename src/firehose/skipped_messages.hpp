// Complete messages that cannot be read: skipped, counted, and logged once a minute.
//
// Owns: the notice that replaces such a message, with its account where it can be found, and the log line.
// Does not know: why a message cannot be read, and its connection.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/core/rate_limited.hpp"
#include "recordkv/firehose/source.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::firehose {

class skipped_messages {
 public:
  skipped_messages(std::string_view part, std::string url, meters& counters)
      : part_(part), url_(std::move(url)), counters_(counters) {}

  /// `word`: what is wrong, from a closed set; `behind`: the number of the last readable message.
  frame notice(std::string_view bytes, std::string_view word, std::uint64_t behind);
  /// Logs what is not logged yet, once a line is due.
  void tell_rest();

 private:
  void tell(std::uint64_t n);

  std::string_view part_;
  std::string url_;
  meters& counters_;
  rate_limited told_;
  std::string last_;
};

}  // namespace recordkv::firehose
