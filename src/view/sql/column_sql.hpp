// What a column type is in SQL, in both dialects: one row a type.
//
// Owns: how a column is declared, selected and compared. Does not know: how a value is read (plan/column_types.hpp).
#pragma once

#include "recordkv/view/plan.hpp"

#include <string>
#include <string_view>

namespace recordkv::view {

enum class dialect { sqlite, postgres };

/// `name` in double quotes, any quote inside doubled.
std::string identifier(std::string_view name);

/// How a column is declared.
std::string_view declared(dialect d, column_type t) noexcept;

/// PostgreSQL's type of one value, for the elements of an array.
std::string_view postgres_type(column_type t) noexcept;

/// A column as an answer shows it, in the form of `cell`; and as a condition compares it with such a value.
std::string shown(dialect d, std::string_view column, column_type t);
std::string compared(dialect d, std::string_view column, column_type t);

}  // namespace recordkv::view
