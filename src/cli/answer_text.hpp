// An answer of a view, as text for a person and as JSON for a program.
//
// Owns: both forms. Does not know: where the answer comes from.
#pragma once

#include "recordkv/view/store.hpp"

#include <string>

namespace recordkv::cli {

/// A cell as a person reads it: true and false for booleans, nothing for NULL.
std::string text_of_cell(const view::cell& c, view::column_type type);

/// The cell of the named column; empty if it is NULL or absent.
std::string text_at(const view::answer& a, const view::cells& row, std::string_view column);

/// One row as a JSON object on one line: numbers and booleans as such, JSON columns as their content.
std::string json_of_row(const view::answer& a, const view::cells& row);

/// Columns below their names, aligned.
std::string table_of(const view::answer& a);

}  // namespace recordkv::cli
