#include "record_writer.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <iterator>

namespace recordkv::sim {

void record_writer::separate() {
  // after a key the text ends in ':', after an opening in '{' or '['; a string value ends in '"', so this is exact
  if (json_.empty()) return;
  const char last = json_.back();
  if (last != '{' && last != '[' && last != ':') json_ += ',';
}

void record_writer::head(unsigned major, std::uint64_t n) {
  const auto lead = static_cast<unsigned char>(major << 5);
  if (n < 24) {
    cbor_ += static_cast<char>(lead | n);
    return;
  }
  const int size = n <= 0xff ? 0 : n <= 0xffff ? 1 : n <= 0xffffffff ? 2 : 3;
  cbor_ += static_cast<char>(lead | (24 + size));
  for (int shift = (8 << size) - 8; shift >= 0; shift -= 8) cbor_ += static_cast<char>(n >> shift);
}

void record_writer::quoted(std::string_view utf8) {
  json_ += '"';
  std::size_t done = 0;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto c = static_cast<unsigned char>(utf8[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    json_.append(utf8, done, i - done);
    done = i + 1;
    if (c == '\n')
      json_ += "\\n";
    else if (c >= 0x20)
      json_.append({'\\', static_cast<char>(c)});
    else
      fmt::format_to(std::back_inserter(json_), "\\u{:04x}", c);
  }
  json_.append(utf8, done);
  json_ += '"';
}

void record_writer::open_map(std::uint64_t pairs) {
  separate();
  json_ += '{';
  head(5, pairs);
}

void record_writer::open_array(std::uint64_t items) {
  separate();
  json_ += '[';
  head(4, items);
}

void record_writer::key(std::string_view name) {
  text(name);
  json_ += ':';
}

void record_writer::text(std::string_view utf8) {
  separate();
  quoted(utf8);
  head(3, utf8.size());
  cbor_ += utf8;
}

void record_writer::integer(std::int64_t n) {
  separate();
  json_ += fmt::format_int(n).c_str();
  if (n >= 0)
    head(0, static_cast<std::uint64_t>(n));
  else
    head(1, ~static_cast<std::uint64_t>(n));
}

void record_writer::boolean(bool b) {
  separate();
  json_ += b ? "true" : "false";
  cbor_ += static_cast<char>(b ? 0xf5 : 0xf4);
}

void record_writer::null() {
  separate();
  json_ += "null";
  cbor_ += static_cast<char>(0xf6);
}

void record_writer::link(const sim::cid& target) {
  separate();
  json_ += R"({"$link":")";
  target.append_text(json_);
  json_ += R"("})";
  head(6, 42);
  head(2, 37);
  cbor_ += '\0';
  target.append_binary(cbor_);
}

void record_writer::bytes(std::string_view octets) {
  separate();
  std::string encoded((octets.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                      reinterpret_cast<const unsigned char*>(octets.data()), static_cast<int>(octets.size()));
  encoded.resize(static_cast<std::size_t>(size));
  while (encoded.ends_with('=')) encoded.pop_back();
  json_.append(R"({"$bytes":")").append(encoded).append(R"("})");
  head(2, octets.size());
  cbor_ += octets;
}

}  // namespace recordkv::sim
