// Records as JSON text, and back to the bytes that their CID names.
//
//   CBOR            JSON
//   tag 42          {"$link":"bafy…"}
//   byte string     {"$bytes":"base64 without padding"}
//   integer         exact decimal, never through a double.
//   the rest        the same.
//
// Owns: both directions of that table, JSON.stringify's way of escaping, the limits of one record.
// Does not know: lexicons. A `$type` that is no string and an odd `blob` map pass: they are data like any other.
// Source: atproto.com data model.
#pragma once

#include "recordkv/core/result.hpp"

#include <boost/json/fwd.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace recordkv::atproto {

inline constexpr std::size_t max_record = 1'048'576;  ///< bytes of a record in CBOR

/// One record (a map) from CBOR to JSON text without spaces, in one pass, keys in the order of the CBOR.
/// errc::too_large over max_record. errc::malformed with a word: what cbor::reader refuses, "not_a_map", "trailing", or
/// "reserved_key". The last is a map with the key `$link` or `$bytes`, which would read back as a link or as bytes.
result<std::string> json_of(std::string_view cbor);

/// One record (an object) from JSON text to canonical DAG-CBOR. Of a repeated name the last value counts.
/// errc::too_large when the result exceeds max_record. errc::malformed:
///
///   "float"         a fraction other than .0 (123.0 counts as 123), or an integer so long that it may be a float.
///   "number"        an integer beyond 64 bits with a sign.
///   "reserved_key"  an object with a `$link` or `$bytes` that is no link and no bytes.
///   other words     nesting beyond cbor::max_depth, and text that is not JSON
result<std::string> cbor_of_json(std::string_view json);

/// The CID, as text, of the record that this JSON stands for; fails as cbor_of_json does.
result<std::string> cid_of_json(std::string_view json);

/// Appends the text to JSON output, with quotation marks; escapes exactly what JSON.stringify escapes.
void append_quoted(std::string& out, std::string_view text);

/// Whether 1.0, 1e3 and -0.0 count as integers, or are refused as "float".
enum class odd_integers : bool { take, refuse };

/// cbor_of_json for a value that has been parsed already (with a bound on its depth).
result<std::string> cbor_of(const boost::json::value& record, odd_integers odd = odd_integers::take);

}  // namespace recordkv::atproto
