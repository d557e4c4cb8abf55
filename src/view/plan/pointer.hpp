// JSON pointers (RFC 6901) into a record, and the path of `each`.
//
// Owns: the syntax and the walk.
// Does not know: columns and rows. boost::json's find_pointer does not know "*" for every element.
#pragma once

#include <boost/json/value.hpp>

#include <string>
#include <string_view>

namespace recordkv::view {

/// Empty, or "/" and segments in which every ~ is ~0 or ~1; at most 1,024 bytes.
bool is_pointer(std::string_view s) noexcept;

/// The value at the pointer; nullptr: there is none.
const boost::json::value* find(const boost::json::value& in, std::string_view pointer);

/// One step down: the member of an object or the element of an array. `segment` as it stands in a pointer.
const boost::json::value* step(const boost::json::value& in, std::string_view segment);

/// Whether the pointer's first segment is the member of this name. False for an empty pointer.
bool begins_with(std::string_view pointer, std::string_view member);

/// Takes the first segment off a pointer that is not empty.
inline std::string_view take_segment(std::string_view& pointer) {
  const auto end = std::min(pointer.find('/', 1), pointer.size());
  const auto segment = pointer.substr(1, end - 1);
  pointer.remove_prefix(end);
  return segment;
}

/// Visits every element of the array at `path`, in document order, until `visit` returns false; then it returns false.
/// "*" means every element of an array on the way. The depth of the parsed value bounds the recursion.
template <class Visit>
bool for_each_element(const boost::json::value& in, std::string_view path, Visit& visit) {
  const boost::json::value* at = &in;
  while (!path.empty()) {
    const auto segment = take_segment(path);
    if (segment == "*") {
      if (!at->is_array()) return true;
      for (const auto& inner : at->get_array())
        if (!for_each_element(inner, path, visit)) return false;
      return true;
    }
    at = step(*at, segment);
    if (at == nullptr) return true;
  }
  if (!at->is_array()) return true;
  for (const auto& element : at->get_array())
    if (!visit(element)) return false;
  return true;
}

}  // namespace recordkv::view
