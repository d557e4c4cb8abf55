// CBOR to JSON text in one pass.
//
// Owns: the walk over a record's tokens, escaping, base64 output.
// Does not know: JSON as input (json_value.cpp), and any document tree.
#include "recordkv/atproto/json.hpp"

#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/cid.hpp"
#include "recordkv/core/base64.hpp"

#include <charconv>

namespace recordkv::atproto {

namespace {

constexpr std::string_view hex = "0123456789abcdef";

void append_integer(std::string& out, std::int64_t n) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
  out.append(digits, end);
}

/// Writes the item whose first token has just been read. Recursion is bounded by the reader's depth. Returns the word
/// for what is wrong; empty: success.
std::string_view append_item(std::string& out, cbor::reader& r) {
  switch (r.what()) {
    case cbor::kind::integer: append_integer(out, r.integer()); return {};
    case cbor::kind::text: append_quoted(out, r.view()); return {};
    case cbor::kind::boolean: out += r.boolean() ? "true" : "false"; return {};
    case cbor::kind::null: out += "null"; return {};
    case cbor::kind::bytes:
      out += R"({"$bytes":")";
      append_base64(out, r.view());
      out += R"("})";
      return {};
    case cbor::kind::link:
      out += R"({"$link":")";
      out += cid_text(r.view());
      out += R"("})";
      return {};
    case cbor::kind::array:
      out += '[';
      for (auto left = r.count(); left != 0; --left) {
        r.next();
        if (const auto flaw = append_item(out, r); !flaw.empty()) return flaw;
        if (left != 1) out += ',';
      }
      out += ']';
      return {};
    case cbor::kind::map:
      out += '{';
      for (auto left = r.count(); left != 0; --left) {
        if (r.next() == cbor::kind::bad) return r.flaw();
        if (r.view() == "$link" || r.view() == "$bytes") return "reserved_key";
        append_quoted(out, r.view());
        out += ':';
        r.next();
        if (const auto flaw = append_item(out, r); !flaw.empty()) return flaw;
        if (left != 1) out += ',';
      }
      out += '}';
      return {};
    case cbor::kind::end: return "truncated";
    case cbor::kind::bad: return r.flaw();
  }
  return "encoding";
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain = 0;  // start of the run that needs no escape
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    out += '\\';
    switch (c) {
      case '\b': out += 'b'; break;
      case '\f': out += 'f'; break;
      case '\n': out += 'n'; break;
      case '\r': out += 'r'; break;
      case '\t': out += 't'; break;
      case '"':
      case '\\': out += static_cast<char>(c); break;
      default:
        out += "u00";
        out += hex[c >> 4];
        out += hex[c & 15];
    }
  }
  out.append(text, plain);
  out += '"';
}

result<std::string> json_of(std::string_view cbor) {
  if (cbor.size() > max_record) return fail(errc::too_large, "record of {} bytes", cbor.size());
  cbor::reader r(cbor);
  if (r.next() == cbor::kind::bad) return error{errc::malformed, std::string(r.flaw())};
  if (r.what() != cbor::kind::map) return fail(errc::malformed, "not_a_map");
  std::string out;
  out.reserve(cbor.size() + cbor.size() / 4 + 32);
  if (const auto flaw = append_item(out, r); !flaw.empty()) return error{errc::malformed, std::string(flaw)};
  if (r.next() == cbor::kind::bad) return error{errc::malformed, std::string(r.flaw())};
  if (r.what() != cbor::kind::end) return fail(errc::malformed, "trailing");
  return out;
}

}  // namespace recordkv::atproto
