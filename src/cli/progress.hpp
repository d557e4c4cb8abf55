// The progress of long work: a bar on a terminal, plain lines elsewhere.
//
// Owns: the drawing, and how often a line is printed. Does not know: what is done.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace recordkv::cli {

class progress {
 public:
  explicit progress(std::string what) : what_(std::move(what)) {}
  ~progress();

  /// `part` of the whole, 0 to 1, and a few words. On standard error: standard output may be read by a program.
  void show(double part, std::string_view words);

 private:
  std::string what_;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();  // the last line, or the start
  bool drawn_ = false;
};

}  // namespace recordkv::cli
