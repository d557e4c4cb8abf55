// A place where recordkv keeps content of an account, and what a search has found there.
//
// Owns: that answer, its line and its JSON form, and the exit code of several.
// Does not know: how a place is searched.
#pragma once

#include "recordkv/core/result.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::cli {

struct trace_place {
  std::string kind;   ///< "buffer", "store", "state", "wish", "view", "rejects"
  std::string where;  ///< the stream, bucket or table
  std::uint64_t found = 0;
  std::string what;             ///< what was counted, in the plural: "records", "members"
  std::string example;          ///< one of them
  std::string note;             ///< what is left and no content, or how far was read
  std::string remedy;           ///< what removes it; only where something was found
  std::optional<error> unread;  ///< it could not be read: nothing is known
};

std::string place_line(const trace_place& p);
boost::json::object place_report(const trace_place& p);

/// 1 if something is left; else 3 if a place could not be read; else 0.
int traces_code(const std::vector<trace_place>& all);

/// The last lines, on standard error: what is left and what to do, or that nothing is.
std::string traces_verdict(const std::vector<trace_place>& all, std::string_view did);

}  // namespace recordkv::cli
