// Reads of a record's JSON only what a plan names.
//
// Owns: which members of a record a plan names, and the tree of these alone.
// Does not know: what becomes of a value (extract.cpp).
#pragma once

#include "recordkv/view/plan.hpp"

#include <boost/json/parse_options.hpp>
#include <boost/json/value.hpp>

#include <string_view>

namespace recordkv::view {

/// Whether a column, a term or `each` of the plan looks into the record's member of this name. A plan of links looks
/// into all.
bool names_member(const plan& p, std::string_view member);

/// As boost::json::parse(), with the same errors, but a record has only the members that the plan names. The text of
/// the others is checked, too. The value lives in `memory`.
boost::json::value parse_named_members(const plan& p, std::string_view text, const boost::json::parse_options& options,
                                       boost::json::storage_ptr memory, boost::system::error_code& ec);

}  // namespace recordkv::view
