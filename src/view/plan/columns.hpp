// `columns` and `where` of a view file.
//
// Owns: which keys are allowed, and the columns that an at-uri makes.
// Does not know: the rest of the file.
#pragma once

#include "plan/reader.hpp"
#include "recordkv/view/plan.hpp"

#include <optional>
#include <string_view>

namespace recordkv::view {

/// Adds the columns of `columns`, and their indexes. plan::each must be known.
void read_columns(plan& p, fields view);

/// The three columns of `extract = "links"`.
void add_link_columns(plan& p);

void read_where(plan& p, fields view);

/// The type as it is written in a file.
std::string_view type_name(const column& c);

/// A TOML value as a cell of the column, in the form of extract(); nullopt: it is of another type.
std::optional<cell> cell_from_toml(const column& c, const toml::node& v);

/// The column of that name; nullptr when there is none.
const column* column_of(const plan& p, std::string_view name);

/// True for plan::key_columns(), and for idx if rows are numbered.
bool is_key_column(const plan& p, std::string_view name);

}  // namespace recordkv::view
