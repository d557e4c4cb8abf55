// Every link in a record, wherever it stands.
//
// Owns: what counts as a link, and the notation of its path: ".subject.uri"; "[]" for an element of an array, or
// "[TYPE]" where the element is an object that names its $type: ".facets[].features[app.bsky.richtext.facet#link].uri".
// It is the notation in which backlinks are asked for elsewhere on the network (constellation).
// Refuses to know: rows, and whether a link leads anywhere.
#pragma once

#include <boost/json/value.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view {

struct link {
  std::string_view kind;  ///< "at-uri", "did" or "url"
  std::string path;
  std::string_view target;  ///< the whole value, as it stands; lives in the record
};

inline constexpr std::size_t max_links = 1000;        ///< of one record, the first ones; the rest is left out
inline constexpr std::size_t max_link_target = 2000;  ///< bytes; a longer one is left out, no index could hold it
inline constexpr std::size_t max_link_path = 512;     ///< bytes; what stands deeper is left out

/// "at-uri", "did", "url", or empty for what is no link.
std::string_view link_kind(std::string_view s) noexcept;

/// In document order.
std::vector<link> links_of(const boost::json::value& record);

}  // namespace recordkv::view
