// Every link in a record, wherever it stands.
//
// Owns: what counts as a link, and the notation of its path: ".subject.uri". "[]" is an element of an array; "[TYPE]"
// is an element with that $type: ".facets[].features[app.bsky.richtext.facet#link].uri". Constellation uses the same
// notation. Does not know: rows, and whether a link leads anywhere.
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

inline constexpr std::size_t max_links = 1000;        ///< of one record; further ones are skipped
inline constexpr std::size_t max_link_target = 2000;  ///< bytes; a longer one is skipped, because no index can hold it
inline constexpr std::size_t max_link_path = 512;     ///< bytes; a link with a longer path is skipped

/// "at-uri", "did", "url", or empty if it is not a link.
std::string_view link_kind(std::string_view s) noexcept;

/// In document order.
std::vector<link> links_of(const boost::json::value& record);

}  // namespace recordkv::view
