// Whether a record, or an element of it, is wanted at all.
//
// Owns: the meaning of the terms of `where`.
// Refuses to know: columns, and how the terms are written in a file.
#pragma once

#include "recordkv/view/plan.hpp"

#include <boost/json/value.hpp>

namespace recordkv::view {

/// Whether all terms hold. `element`: of `each`; the record itself where there is no `each`. null counts as nothing.
bool wanted(const plan& p, const boost::json::value& record, const boost::json::value& element);

/// Whether a value is the one that JSON text `operand` says; numbers are compared as numbers, 1 and 1.0 are the same.
bool equals(const boost::json::value& v, std::string_view operand);

}  // namespace recordkv::view
