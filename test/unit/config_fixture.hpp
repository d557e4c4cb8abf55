// What the tests of the configuration share: files that go away, and short ways to load them.
#pragma once

#include "recordkv/config.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

namespace recordkv::config_test {

/// A file that goes away with the test. Messages name it "FILE", so that expectations need no path.
class temporary {
 public:
  explicit temporary(std::string_view text, std::string_view name = "c.toml")
      : path_(std::filesystem::temp_directory_path() / fmt::format("recordkv-{}-{}-{}", getpid(), ++count_, name)) {
    std::ofstream(path_) << text;
  }
  ~temporary() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }
  std::string neutral(std::string text) const {
    for (auto at = text.find(path()); at != text.npos; at = text.find(path())) text.replace(at, path().size(), "FILE");
    return text;
  }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

inline config must(const config_sources& from) {
  auto c = load_config(from);
  if (!c) FAIL(c.error().text);
  return std::move(*c);
}

inline config from_text(std::string_view text) {
  const temporary file(text);
  return must({.files = {file.path()}, .environment = {}, .sets = {}});
}

/// The message that a file's text gives, "" when it is fine.
inline std::string complaint(std::string_view text) {
  const temporary file(text);
  const auto c = load_config({.files = {file.path()}, .environment = {}, .sets = {}});
  if (c) return "";
  CHECK(c.error().code == errc::bad_config);
  return file.neutral(c.error().text);
}

inline std::string shown(const config_sources& from, std::string_view key) {
  auto all = show_config(from);
  if (!all) FAIL(all.error().text);
  for (const auto& s : *all)
    if (s.key == key) return fmt::format("{} ({})", s.value, s.origin);
  return "missing";
}

inline std::string repository(std::string_view path) { return fmt::format("{}/{}", RECORDKV_SOURCE_ROOT, path); }

}  // namespace recordkv::config_test
