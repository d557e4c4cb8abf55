// Values in the form that PostgreSQL reads: the text of an array, a line of COPY.
//
// Owns: their escapes. Does not know: libpq, plans.
#pragma once

#include "recordkv/view/plan.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace recordkv::view::postgres {

/// A cell's text before any escape; nullopt is NULL. Booleans stay 0 and 1, which PostgreSQL takes.
std::optional<std::string> plain(const cell& c);

/// An array literal that grows: {"a","b\"c",NULL}.
class array_text {
 public:
  void add(std::string_view text);
  void add_null();
  void add(const cell& c);
  std::size_t size() const noexcept { return size_; }
  std::string done() && { return std::move(text_) + '}'; }

 private:
  void next();
  std::string text_ = "{";
  std::size_t size_ = 0;
};

/// Appends one field of a line of COPY's text format.
void copy_field(std::string& line, std::string_view text);
void copy_field(std::string& line, const cell& c);

}  // namespace recordkv::view::postgres
