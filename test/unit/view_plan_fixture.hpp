// What the tests of plans share: a view file that goes away, and extraction in a line.
#pragma once

#include "recordkv/view/plan.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace recordkv::view::test {

class temporary {
 public:
  explicit temporary(std::string_view text)
      : path_(std::filesystem::temp_directory_path() / fmt::format("recordkv-view-{}-{}.toml", getpid(), ++count_)) {
    std::ofstream(path_) << text;
  }
  ~temporary() { std::filesystem::remove(path_); }
  temporary(const temporary&) = delete;
  std::string path() const { return path_.string(); }
  std::string neutral(std::string text) const {
    for (auto at = text.find(path()); at != text.npos; at = text.find(path())) text.replace(at, path().size(), "FILE");
    return text;
  }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

/// What load_plans says of this text, "FILE" for its name; empty when nothing is wrong.
inline std::string complaint(std::string_view text) {
  const temporary file(text);
  const auto plans = load_plans(file.path());
  if (plans) return "";
  CHECK(plans.error().code == errc::bad_config);
  return file.neutral(plans.error().text);
}

/// The one view of this text. `[[view]]`, a name and a collection come by themselves.
inline plan planned(std::string_view text) {
  const temporary file(fmt::format("[[view]]\nname = \"v\"\ncollection = \"a.b.c\"\n{}\n", text));
  auto plans = load_plans(file.path());
  if (!plans) FAIL(plans.error().text);
  REQUIRE(plans->size() == 1);
  return std::move(plans->front());
}

inline std::string shown(const cell& c) {
  if (const auto* s = std::get_if<std::string>(&c)) return "'" + *s + "'";
  if (const auto* n = std::get_if<std::int64_t>(&c)) return fmt::to_string(*n);
  if (const auto* d = std::get_if<double>(&c)) return fmt::format("real {}", *d);
  return "NULL";
}

inline extraction extracted(const plan& p, std::string_view json) {
  return extract(p, {.did = "did:plc:me",
                     .collection = "a.b.c",
                     .rkey = "r",
                     .cid = "bafy",
                     .rev = "3k5nobkf2w72g",
                     .time = "2024-11-05T12:00:00.5Z",
                     .json = json});
}

/// Rows as "'a' 1 NULL", or the one line "rejected: …".
inline std::vector<std::string> rows(const plan& p, std::string_view json) {
  const auto got = extracted(p, json);
  if (!got.rejection_reason.empty()) {
    CHECK(got.rows.empty());
    return {"rejected: " + got.rejection_reason};
  }
  std::vector<std::string> out;
  for (const auto& row : got.rows) {
    CHECK(row.size() == p.columns.size());
    std::string line;
    for (const auto& c : row) line += (line.empty() ? "" : " ") + shown(c);
    out.push_back(line);
  }
  return out;
}

using lines = std::vector<std::string>;

}  // namespace recordkv::view::test
