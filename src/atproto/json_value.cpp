// JSON to canonical DAG-CBOR.
//
// Owns: the order of keys, recognising links and bytes.
// Does not know: where the text came from. Everything is bounded: depth by the parser and here, size by max_record.
#include "recordkv/atproto/json.hpp"

#include "cbor_write.hpp"
#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/cid.hpp"
#include "recordkv/core/base64.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace recordkv::atproto {

namespace {

namespace json = boost::json;

using cbor::append_head;
using cbor::append_integer;
using cbor::append_string;
using cbor::major;

/// Writes one value; an empty answer is success, otherwise the word that says why not.
class encoder {
 public:
  encoder(std::string& out, odd_integers odd) : out_(out), odd_(odd) {}

  std::string_view append(const json::value& v, std::size_t depth) {
    switch (v.kind()) {
      case json::kind::null: cbor::append_null(out_); return {};
      case json::kind::bool_: out_ += v.get_bool() ? '\xF5' : '\xF4'; return {};
      case json::kind::int64: append_integer(out_, v.get_int64()); return {};
      case json::kind::uint64:
        if (v.get_uint64() > std::numeric_limits<std::int64_t>::max()) return "number";
        append_integer(out_, static_cast<std::int64_t>(v.get_uint64()));
        return {};
      case json::kind::double_: return append_double(v.get_double());
      case json::kind::string: append_string(out_, major::text, v.get_string()); return {};
      case json::kind::array: return append_array(v.get_array(), depth);
      case json::kind::object: return append_object(v.get_object(), depth);
    }
    return "number";
  }

 private:
  /// 123.0 may be an integer in an unusual form. Beyond 2^53 a double may have lost digits that were sent. An integer
  /// too long for 64 bits also arrives here.
  std::string_view append_double(double d) {
    constexpr double exact = 9'007'199'254'740'991.0;
    if (odd_ == odd_integers::refuse || !(std::abs(d) <= exact) || d != std::trunc(d)) return "float";
    append_integer(out_, static_cast<std::int64_t>(d));
    return {};
  }

  std::string_view append_array(const json::array& items, std::size_t depth) {
    if (depth == cbor::max_depth) return "depth";
    if (items.size() > cbor::max_entries) return "count";
    append_head(out_, major::array, items.size());
    for (const auto& item : items) {
      if (const auto flaw = append(item, depth + 1); !flaw.empty()) return flaw;
    }
    return {};
  }

  std::string_view append_object(const json::object& fields, std::size_t depth) {
    if (const auto* link = fields.if_contains("$link")) {
      return fields.size() == 1 && link->is_string() ? append_link(link->get_string()) : "reserved_key";
    }
    if (const auto* bytes = fields.if_contains("$bytes")) {
      return fields.size() == 1 && bytes->is_string() ? append_bytes(bytes->get_string()) : "reserved_key";
    }
    if (depth == cbor::max_depth) return "depth";
    if (fields.size() > cbor::max_entries) return "count";
    std::vector<const json::key_value_pair*> sorted;
    sorted.reserve(fields.size());
    for (const auto& field : fields) sorted.push_back(&field);
    std::ranges::sort(sorted, [](const auto* a, const auto* b) {
      const std::string_view x = a->key(), y = b->key();
      return x.size() != y.size() ? x.size() < y.size() : x < y;
    });
    append_head(out_, major::map, sorted.size());
    for (const auto* field : sorted) {
      if (field->key().size() > cbor::max_key) return "key";
      append_string(out_, major::text, field->key());
      if (const auto flaw = append(field->value(), depth + 1); !flaw.empty()) return flaw;
    }
    return {};
  }

  std::string_view append_link(std::string_view text) {
    const auto cid = cid_from_text(text);
    if (!cid) return "reserved_key";
    cbor::append_link(out_, *cid);
    return {};
  }

  std::string_view append_bytes(std::string_view text) {
    std::string bytes;
    if (!append_from_base64(bytes, text)) return "reserved_key";
    append_string(out_, major::bytes, bytes);
    return {};
  }

  std::string& out_;
  odd_integers odd_;
};

}  // namespace

result<std::string> cbor_of(const json::value& record, odd_integers odd) {
  if (!record.is_object()) return fail(errc::malformed, "not_a_map");
  std::string out;
  out.reserve(1024);
  if (const auto flaw = encoder(out, odd).append(record, 0); !flaw.empty()) {
    return error{errc::malformed, std::string(flaw)};
  }
  // An object that is itself a link or bytes is no record.
  if ((static_cast<unsigned char>(out[0]) & 0xE0) != 0xA0) return fail(errc::malformed, "not_a_map");
  if (out.size() > max_record) return fail(errc::too_large, "record of {} bytes", out.size());
  return out;
}

result<std::string> cbor_of_json(std::string_view text) {
  // A legal record can't need more: an escaped character takes six bytes for one, everything else takes less.
  if (text.size() > 8 * max_record) return fail(errc::too_large, "record of {} bytes of JSON", text.size());
  unsigned char buffer[16384];
  json::monotonic_resource memory(buffer, sizeof buffer);
  json::parse_options options;
  options.max_depth = cbor::max_depth + 1;  // {"$link":…} is one level that CBOR does not have
  boost::system::error_code ec;
  const auto value = json::parse(text, ec, &memory, options);
  if (ec) return fail(errc::malformed, "json");
  return cbor_of(value);
}

result<std::string> cid_of_json(std::string_view text) {
  const auto bytes = cbor_of_json(text);
  if (!bytes) return bytes.error();
  return cid_text_of(*bytes);
}

}  // namespace recordkv::atproto
