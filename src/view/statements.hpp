// The SQL of a plan.
//
// Owns: every statement that names a view's table, and so the shape of that table.
// Refuses to know: connections. Names were checked when the plan was loaded and are quoted all the same.
#pragma once

#include "recordkv/view/plan.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view {

/// `name` in double quotes, any quote inside doubled.
std::string identifier(std::string_view name);

/// CREATE TABLE, then one CREATE INDEX for each column that asks for it.
std::vector<std::string> create_statements(const plan& p);

/// Parameters: did, collection, rkey, then the columns in order. An older row of the key is overwritten in place.
std::string upsert_statement(const plan& p);

/// Parameters: did, collection, rkey.
std::string erase_statement(const plan& p);

std::string drop_statement(const plan& p);

}  // namespace recordkv::view
