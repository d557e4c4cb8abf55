#include "record_line.hpp"

#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/json.hpp"

#include <boost/json/basic_parser_impl.hpp>

#include <algorithm>

namespace recordkv::cli {
namespace {

namespace json = boost::json;

// Checks the syntax of JSON and keeps nothing: a parser without a document.
struct syntax_check {
  static constexpr std::size_t max_object_size = std::size_t(-1), max_array_size = std::size_t(-1),
                               max_key_size = std::size_t(-1), max_string_size = std::size_t(-1);
  using ec = boost::system::error_code;
  static bool on_document_begin(ec&) { return true; }
  static bool on_document_end(ec&) { return true; }
  static bool on_object_begin(ec&) { return true; }
  static bool on_object_end(std::size_t, ec&) { return true; }
  static bool on_array_begin(ec&) { return true; }
  static bool on_array_end(std::size_t, ec&) { return true; }
  static bool on_key_part(json::string_view, std::size_t, ec&) { return true; }
  static bool on_key(json::string_view, std::size_t, ec&) { return true; }
  static bool on_string_part(json::string_view, std::size_t, ec&) { return true; }
  static bool on_string(json::string_view, std::size_t, ec&) { return true; }
  static bool on_number_part(json::string_view, ec&) { return true; }
  static bool on_int64(std::int64_t, json::string_view, ec&) { return true; }
  static bool on_uint64(std::uint64_t, json::string_view, ec&) { return true; }
  static bool on_double(double, json::string_view, ec&) { return true; }
  static bool on_bool(bool, ec&) { return true; }
  static bool on_null(ec&) { return true; }
  static bool on_comment_part(json::string_view, ec&) { return true; }
  static bool on_comment(json::string_view, ec&) { return true; }
};

bool is_json(std::string_view text) {
  json::basic_parser<syntax_check> parser({.max_depth = atproto::cbor::max_depth});
  boost::system::error_code ec;
  return parser.write_some(false, text.data(), text.size(), ec) == text.size() && !ec;
}

// A writer may have put anything into headers and keys. In a line they are printable ASCII or nothing.
std::string_view plain(std::string_view s) {
  return std::ranges::all_of(s, [](char c) { return c >= 0x20 && c < 0x7F; }) ? s : std::string_view{};
}

void member(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  atproto::append_quoted(out, value);
}

}  // namespace

void append_line(std::string& out, const record& r) {
  std::string computed;
  const bool readable = !r.deleted && is_json(r.json);
  if (readable && r.cid.empty())  // another program's value: its CID is computed
    if (auto cid = atproto::cid_of_json(r.json)) computed = *cid;
  member(out, R"({"uri":)", r.uri());
  member(out, R"(,"cid":)", computed.empty() ? plain(r.cid) : computed);
  member(out, R"(,"rev":)", plain(r.rev));
  member(out, R"(,"time":)", plain(r.time));
  member(out, R"(,"op":)", r.op());
  out += fmt::format(R"(,"seq":{})", r.seq);
  if (!r.deleted) {
    out += R"(,"record":)";
    const auto at = out.size();
    out += readable ? r.json : "null";
    // Between JSON tokens a line break becomes a space; within a token there is none.
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(at), out.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  }
  out += "}\n";
}

}  // namespace recordkv::cli
