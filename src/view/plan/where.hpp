// Whether a record, or an element of it, is wanted.
//
// Owns: the meaning of the terms of `where`.
// Does not know: columns, and how the terms are written in a file.
#pragma once

#include "recordkv/view/plan.hpp"

#include <boost/json/value.hpp>

namespace recordkv::view {

/// Whether all terms hold. `element`: of `each`; the record itself if there is no `each`. null counts as absent.
bool wanted(const plan& p, const boost::json::value& record, const boost::json::value& element);

/// Whether a value equals the JSON text `operand`. Numbers are compared as numbers: 1 equals 1.0.
bool equals(const boost::json::value& v, std::string_view operand);

}  // namespace recordkv::view
