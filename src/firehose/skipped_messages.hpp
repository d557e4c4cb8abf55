// Complete messages that can't be read: skipped at first sight, counted, told once a minute.
//
// Owns: the notice in such a message's place, with its account where that can be found, and the log line.
// Refuses to know: why a message can't be read, and the connection it came over.
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
      : context_(part), url_(std::move(url)), counters_(counters) {}

  /// `word`: what is wrong, of a closed set; `behind`: the number of the last readable one.
  frame notice(std::string_view bytes, std::string_view word, std::uint64_t behind);
  /// What no line has told yet, once a line is due again.
  void tell_rest();

 private:
  void tell(std::uint64_t n);

  std::string_view context_;
  std::string url_;
  meters& counters_;
  rate_limited told_;
  std::string last_;
};

}  // namespace recordkv::firehose
