// Reading one file of TOML so that every mistake is told with its place.
//
// Owns: the form of a mistake, "FILE:LINE: KEY: what is wrong; what to write", and which of several is told: the one
// that stands first in the file. Refuses to know: views.
#pragma once

#include "recordkv/core/result.hpp"

#include <toml++/toml.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace recordkv::view {

class mistakes {
 public:
  explicit mistakes(std::string file) : file_(std::move(file)) {}

  void add(const toml::source_position& at, std::string what);
  /// Of the mistake that stands first; empty when there is none.
  const std::string& first() const { return first_; }
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::string first_;
  toml::source_position at_{};
};

/// One table of the file, read key by key. Every reader goes on after a mistake.
class fields {
 public:
  /// `where`: what stands before a key in messages, "view.columns.".
  fields(mistakes& m, const toml::table& t, std::string_view where) : mistakes_(m), table_(t), where_(where) {}

  /// Keys that are not among `known` are mistakes: a misspelt `required` must not pass as "not required".
  void only(std::initializer_list<std::string_view> known);

  /// A mistake at `key`: at its value, or at the table where it is missing.
  template <class... Args>
  void wrong(std::string_view key, fmt::format_string<Args...> what, Args&&... args) {
    // Where a key is misspelt, that is the mistake, and not that the right one is missing.
    if (has(key) || !unknown_) wrong_at(position(key), key, fmt::format(what, std::forward<Args>(args)...));
  }
  void wrong_at(const toml::source_position& at, std::string_view key, std::string_view what);

  bool has(std::string_view key) const { return table_.contains(key); }
  const toml::node* get(std::string_view key) const { return table_.get(key); }
  const toml::table& table() const { return table_; }
  unsigned line() const { return table_.source().begin.line; }
  mistakes& all_mistakes() { return mistakes_; }

  /// The text at `key`, if there is one. `like`: what to write, as an example.
  std::optional<std::string> text(std::string_view key, std::string_view like);
  /// The same, and a missing one is a mistake.
  std::optional<std::string> needed_text(std::string_view key, std::string_view like);
  bool flag(std::string_view key);
  /// The tables of an array of tables.
  std::vector<const toml::table*> tables(std::string_view key, std::string_view like);
  /// The texts of an array of texts, each with its place.
  std::vector<std::pair<std::string, toml::source_position>> texts(std::string_view key, std::string_view like);

 private:
  toml::source_position position(std::string_view key) const;

  mistakes& mistakes_;
  const toml::table& table_;
  std::string_view where_;
  bool unknown_ = false;  ///< it has a key that nobody knows
};

/// [a-z][a-z0-9_]*, at most 48: what needs no quotes and has room for a suffix in PostgreSQL's 63.
bool is_name(std::string_view s) noexcept;

}  // namespace recordkv::view
