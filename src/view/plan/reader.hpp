// Reads a TOML file and reports each mistake with its place.
//
// Owns: the form of a mistake, "FILE:LINE: KEY: what is wrong; what to write". Of several mistakes the first in the
// file is reported. Does not know: views.
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
  /// The first mistake in the file; empty: there is none.
  const std::string& first() const { return first_; }
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::string first_;
  toml::source_position at_{};
};

/// One table of the file, read key by key. Reading continues after a mistake.
class fields {
 public:
  /// `where`: the text before a key in messages, "view.columns.".
  fields(mistakes& m, const toml::table& t, std::string_view where) : mistakes_(m), table_(t), where_(where) {}

  /// Keys outside `known` are mistakes: a misspelt `required` must not pass as "not required".
  void only(std::initializer_list<std::string_view> known);

  /// A mistake at `key`: at its value, or at the table if the key is missing.
  template <class... Args>
  void wrong(std::string_view key, fmt::format_string<Args...> what, Args&&... args) {
    // A misspelt key is the mistake then, and not the missing right one.
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
  bool unknown_ = false;  ///< it has an unknown key
};

/// [a-z][a-z0-9_]*, at most 48: it needs no quotes, and a suffix fits into PostgreSQL's 63 bytes.
bool is_name(std::string_view s) noexcept;

}  // namespace recordkv::view
