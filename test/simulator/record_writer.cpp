#include "record_writer.hpp"

#include "json_text.hpp"

#include <fmt/format.h>

namespace recordkv::sim {

void record_writer::separate() {
  // after a key the text ends in ':', after an opening in '{' or '['; a string value ends in '"', so this is exact
  if (json_.empty()) return;
  const char last = json_.back();
  if (last != '{' && last != '[' && last != ':') json_ += ',';
}

void record_writer::open_map(std::uint64_t pairs) {
  separate();
  json_ += '{';
  cbor_.map(pairs);
}

void record_writer::open_array(std::uint64_t items) {
  separate();
  json_ += '[';
  cbor_.array(items);
}

void record_writer::key(std::string_view name) {
  text(name);
  json_ += ':';
}

void record_writer::text(std::string_view utf8) {
  separate();
  append_quoted(json_, utf8);
  cbor_.text(utf8);
}

void record_writer::integer(std::int64_t n) {
  separate();
  json_ += fmt::format_int(n).c_str();
  cbor_.integer(n);
}

void record_writer::boolean(bool b) {
  separate();
  json_ += b ? "true" : "false";
  cbor_.boolean(b);
}

void record_writer::null() {
  separate();
  json_ += "null";
  cbor_.null();
}

void record_writer::link(const sim::cid& target) {
  separate();
  append_link_object(json_, target);
  cbor_.link(target);
}

void record_writer::bytes(std::string_view octets) {
  separate();
  append_bytes_object(json_, octets);
  cbor_.octets(octets);
}

}  // namespace recordkv::sim
